/** No connection is lost to an update of the nftables mode: clients connect as fast as they can while services change. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { NftablesMode } from "../../src/proxy/modes/nftables/mode.ts";
import { type Decision, decisionKey, type Endpoint } from "../../src/service/decision.ts";
import { clusterIPOutcomes, rejectAll } from "../../src/service/outcomes.ts";
import { startLoad, startLoadServer } from "../support/load.ts";
import { TestNetwork } from "../support/network.ts";

/** Connections in each test; the whole number can be had with CONNECTIONS=100000. */
const connections = Number(process.env.CONNECTIONS ?? 10_000);
const alive = 40;
const port = 8080;

const network = new TestNetwork("updates");
const [client, node, server] = [network.host("client"), network.host("node"), network.host("server")];
network.join(client, "eth0", node, "client");
network.join(server, "eth0", node, "server");
node.forwarding();
node.address("client", "10.1.0.1/24");
node.address("server", "10.244.0.254/24");
client.address("eth0", "10.1.0.2/24");
server.address("eth0", ...Array.from({ length: alive }, (_, i) => `10.244.0.${i + 1}/24`));
client.addRoute("default", { via: "10.1.0.1" });
server.addRoute("default", { via: "10.244.0.254" });
const mode = node.run(() => new NftablesMode());
const answering = await startLoadServer(server, parseAddress("0.0.0.0"), port, "server");
after(async () => {
  await answering.close();
  mode.close();
  network.close();
});

const endpoints: readonly Endpoint[] = Array.from({ length: alive }, (_, i) => ({
  address: parseAddress(`10.244.0.${i + 1}`),
  port,
  local: false,
}));

function decision(cluster: readonly Endpoint[], affinitySeconds = 0): Decision {
  const outcomes =
    cluster.length === 0 ? rejectAll : clusterIPOutcomes("cluster", { masqueradeAll: false, detector: false });
  return {
    service: { namespace: "shop", name: "web", port: "", protocol: "TCP" },
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: parseAddress("10.96.0.10"), port: 80, outcomes }],
    cluster: cluster.toSorted((a, b) => (a.address < b.address ? -1 : 1)),
    local: [],
    affinitySeconds,
  };
}

const settings = {
  masqueradeBit: 14,
  families: {
    IPv4: {
      detector: { kind: "none" },
      nodePortAddresses: { kind: "all", loopback: false },
      serviceCIDRs: [parsePrefix("10.96.0.0/16")],
    },
  },
} as const;

/**
 * Connects to the service as fast as one thread can, while `change` is called as often as possible. @returns how often.
 *
 * @param timeout milliseconds; what is less than a second allows no SYN to be lost.
 */
async function connectWhile(change: (step: number) => Promise<void>, timeout = 900): Promise<number> {
  const load = startLoad(client, { to: parseAddress("10.96.0.10"), port: 80, connections, timeout });
  let ended = false;
  const finished = load.done.finally(() => {
    ended = true;
  });
  let changes = 0;
  while (!ended) {
    await change(changes++);
    // The event loop turns, so that the end of the load is heard.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const result = await finished;
  assert.deepEqual(result.failures, {}, `after ${changes} changes`);
  assert.deepEqual(result.answers, { server: connections });
  return changes;
}

/** Applies one decision after the other to the running mode. */
async function applyWhile(first: Decision, next: (step: number) => Decision, timeout?: number): Promise<number> {
  const key = decisionKey(first.service, first.family);
  await mode.replace({ settings, decisions: new Map([[key, first]]) });
  const changes = await connectWhile((step) => mode.apply(new Map([[key, next(step)]])), timeout);
  assert.deepEqual(await mode.audit(), []);
  return changes;
}

test("a service goes up and down between 1 and 20 endpoints", async (t) => {
  let count = 10;
  const changes = await applyWhile(decision(endpoints.slice(0, count)), (step) => {
    count += Math.trunc(step / 19) % 2 === 0 ? 1 : -1;
    count = Math.min(20, Math.max(1, count));
    return decision(endpoints.slice(0, count));
  });
  t.diagnostic(`${changes} changes while ${connections} connections were made`);
});

test("a service jumps between 1 and 20 endpoints, and all of them are replaced", async (t) => {
  const changes = await applyWhile(decision(endpoints.slice(0, 1)), (step) =>
    decision(step % 4 < 2 ? endpoints.slice(step % 4, 20) : endpoints.slice(20, step % 4 === 2 ? 21 : 40)),
  );
  t.diagnostic(`${changes} changes while ${connections} connections were made`);
});

test("clients with session affinity go on when their endpoint goes", async (t) => {
  // A packet that meets several changes may find the endpoint gone twice: then the SYN that is sent again finds one.
  const changes = await applyWhile(
    decision(endpoints.slice(0, 5), 600),
    (step) => decision(endpoints.slice(step % 20, (step % 20) + 1 + (step % 7)), 600),
    4000,
  );
  t.diagnostic(`${changes} changes while ${connections} connections were made`);
});

test("one process after the other replaces everything", async (t) => {
  const replacements = await connectWhile(async (step) => {
    const made = decision(endpoints.slice(0, 3 + (step % 3)));
    const successor = node.run(() => new NftablesMode());
    await successor.replace({ settings, decisions: new Map([[decisionKey(made.service, made.family), made]]) });
    successor.close();
  });
  t.diagnostic(`${replacements} replacements while ${connections} connections were made`);
});

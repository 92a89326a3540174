import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import * as ffi from "../../src/kernel/ffi.ts";
import { writeSysctl } from "../../src/kernel/sysctl.ts";
import { run } from "../../src/kernel/xtables/run.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { type Decision, type DecisionKey, decisionKey } from "../../src/service/decision.ts";
import { decide } from "../../src/service/policy.ts";
import type { NodeSettings } from "../../src/service/settings.ts";
import { here, service, slice } from "../../src/service/testing.ts";

// This process alone moves into a network namespace of its own, which ends with it.
ffi.unshare(ffi.CLONE.newnet);
// The lock file is one for the whole machine, namespaces or not: others must not hold these tests up.
process.env.XTABLES_LOCKFILE = join(tmpdir(), `ptl-xtables-${process.pid}.lock`);
after(() => rmSync(process.env.XTABLES_LOCKFILE ?? "", { force: true }));

const signal = AbortSignal.timeout(60_000);
const endpoints = ["10.9.0.1", "10.9.0.2"] as const;
const clusterIP = "10.96.0.1";
const servers: Server[] = [];

before(async () => {
  // The kernel refuses only so many connections a second; these clients ask for more.
  writeSysctl("net/ipv4/icmp_ratemask", 0);
  const commands = [
    "link set lo up",
    ...endpoints.map((address) => `addr add ${address}/32 dev lo`),
    "link add away type veth peer name beyond",
    "link set away up",
    "link set beyond up",
    "addr add 192.0.2.1/24 dev away",
    // Whatever is neither balanced nor refused goes here, and is lost.
    "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev away",
    "route add default via 192.0.2.2",
  ];
  for (const command of commands) {
    const { status, errors } = await run("ip", command.split(" "));
    assert.equal(status, 0, `ip ${command}: ${errors}`);
  }
  for (const address of endpoints) {
    const server = createServer((socket) => socket.end(address)).listen(8080, address);
    await new Promise((resolve) => server.once("listening", resolve));
    servers.push(server);
  }
});

after(() => {
  for (const server of servers) server.close();
});

for (const variant of ["nft", "legacy"] as const) {
  describe(`while variant ${variant} changes rules`, () => {
    const factory = iptablesFactory(variant);
    after(() => factory.cleanup());

    test("every connection is answered or refused at once", async () => {
      const mode = await factory.create();
      const states = [[], [endpoints[0]], endpoints, [endpoints[1]]].map((addresses) => decisionFor(addresses));
      const [none, one] = states;
      assert(none && one);
      const key = decisionKey(one.service, one.family);
      await mode.replace({ settings, decisions: new Map([[key, one]]) }, signal);
      const answers = new Map<string, number>();
      let stop = false;
      const clients = Array.from({ length: 4 }, async () => {
        while (!stop) {
          const answer = await ask();
          answers.set(answer, (answers.get(answer) ?? 0) + 1);
          await nextTurn();
        }
      });
      for (let i = 0; i < 40; i++) {
        const state = states[(i * 3) % states.length] ?? one;
        if (i % 5 < 4) await mode.apply(new Map([[key, state]]), signal);
        else await mode.replace({ settings, decisions: new Map([[key, state]]) }, signal);
      }
      stop = true;
      await Promise.all(clients);
      assert.deepEqual([...answers.keys()].sort(), [...endpoints, "ECONNREFUSED"], JSON.stringify([...answers]));
      assert((answers.get("ECONNREFUSED") ?? 0) > 10, JSON.stringify([...answers]));
      assert.deepEqual(await mode.audit(signal), []);
    });

    test("a sync that is cut off leaves the old rules or the new, and the next one mends", async () => {
      const mode = await factory.create();
      const decisions = manyDecisions(2000);
      const cuts = [5, 20, 40, 60, 80].map((milliseconds) => () => AbortSignal.timeout(milliseconds));
      let cut = 0;
      for (const begin of cuts) await mode.replace({ settings, decisions }, begin()).catch(() => cut++);
      assert(cut > 0);
      await mode.replace({ settings, decisions }, signal);
      assert.deepEqual(await mode.audit(signal), []);
    });

    test("changes of many services at once are applied like those of few", async () => {
      const mode = await factory.create();
      const decisions = manyDecisions(1500);
      await mode.replace({ settings, decisions: new Map() }, signal);
      await mode.apply(decisions, signal);
      assert.deepEqual(await mode.audit(signal), []);
      for (const count of [1000, 100]) {
        const gone = [...decisions.keys()].slice(0, count);
        for (const key of gone) decisions.delete(key);
        await mode.apply(new Map(gone.map((key) => [key, undefined])), signal);
        assert.deepEqual(await mode.audit(signal), []);
      }
    });
  });
}

const settings: NodeSettings = {
  masqueradeBit: 14,
  families: {
    IPv4: {
      detector: { kind: "prefixes", prefixes: [parsePrefix("10.9.0.0/16")] },
      nodePortAddresses: { kind: "addresses", addresses: [parseAddress("10.9.0.1")] },
      serviceCIDRs: [],
    },
  },
};

function decisionFor(addresses: readonly string[], name = "web", address = clusterIP): Decision {
  const own = addresses.length === 0 ? [] : [slice(addresses.map((each) => `${each} @here`))];
  const [decision] = decide(service({ name, clusterIPs: [address] }), own, here);
  assert(decision);
  return decision;
}

function manyDecisions(count: number): Map<DecisionKey, Decision> {
  return new Map(
    Array.from({ length: count }, (_, i) => {
      const decision = decisionFor([endpoints[0]], `service-${i}`, `10.96.${100 + (i >> 8)}.${i & 255}`);
      return [decisionKey(decision.service, "IPv4"), decision];
    }),
  );
}

/** What a client of the cluster IP gets: the endpoint's address, or the error; a lost packet would need a second. */
function ask(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(80, clusterIP);
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), 900);
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => resolve(text));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("close", () => clearTimeout(timer));
  });
}

/** The walk against the kernel: random rule sets, random packets, the same rules and verdicts. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { flushConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import type { TraceStep } from "../../src/kernel/nftables/index.ts";
import { setNeighbour } from "../../src/kernel/route/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { capture } from "../../src/trace/snapshot/index.ts";
import { type Question, walk } from "../../src/trace/walk/index.ts";
import { TestNetwork } from "../support/network.ts";
import { attemptTcp, attemptUdp } from "../support/sockets.ts";
import { addresses, ports, Random, randomTable } from "./grammar.ts";
import { linesOfTrace, linesOfWalk, tracingTable, Witness } from "./witness.ts";

const rulesets = Number(process.env.PORTOLAN_TRACE_RULESETS ?? 30);
const packetsEach = 8;

const network = new TestNetwork("walk");
const node = network.host("node");
const client = network.host("client");
const server = network.host("server");
network.join(node, "eth0", client, "eth0");
network.join(node, "eth1", server, "eth0");
node.forwarding();
for (const [family, prefix] of [
  ["ip", 24],
  ["ip6", 64],
] as const) {
  const { clients, own, servers } = addresses[family];
  node.address("eth0", `${own[0]}/${prefix}`);
  node.address("eth1", `${own[1]}/${prefix}`);
  client.address("eth0", ...clients.map((each) => `${each}/${prefix}`));
  server.address("eth0", ...servers.map((each) => `${each}/${prefix}`));
  client.addRoute("default", { via: own[0] });
  server.addRoute("default", { via: own[1] });
  node.addRoute("default", { via: servers[0] });
  // Random rules drop questions for neighbours, too: everybody knows everybody.
  for (const [host, link, peer, peerLink, peers] of [
    [client, "eth0", node, "eth0", own.slice(0, 1)],
    [node, "eth0", client, "eth0", clients],
    [node, "eth1", server, "eth0", servers],
    [server, "eth0", node, "eth1", own.slice(1)],
  ] as const) {
    const mac = peer.link(peerLink).mac;
    assert.ok(mac !== undefined);
    for (const address of peers) {
      setNeighbour(host.route, { interface: host.link(link).index, address: parseAddress(address), mac });
    }
  }
}
const tracker = openConntrack(node.namespace);
const witness = new Witness(node);
after(() => {
  witness[Symbol.dispose]();
  tracker.close();
  network.close();
});

test("random rule sets: the walk names the rules and verdicts that the kernel does", async (context) => {
  const seed = Number(process.env.PORTOLAN_TRACE_SEED ?? 1);
  let pairs = 0;
  let depends = 0;
  let refused = 0;
  for (let i = 0; i < rulesets; i++) {
    const random = new Random(seed * 1_000_003 + i);
    const text = Array.from({ length: 1 + random.below(3) }, (_, n) =>
      randomTable(random, random.of("ip", "ip6", "inet"), `t${n}`),
    ).join("");
    // Not every random rule makes sense to nft: lines that it refuses are left out.
    const loaded = load(tracingTable("eth0") + text);
    refused += loaded.refused;
    const snapshot = await capture(node.namespace);
    for (let n = 0; n < packetsEach; n++) {
      const family = random.of("ip", "ip6");
      const { clients, own, servers, strangers } = addresses[family];
      const sender = random.percent(30) ? node : client;
      const from = sender === client ? parseAddress(random.of(...clients)) : undefined;
      const to = parseAddress(random.of(...own, ...servers, ...servers, ...strangers));
      const protocol = random.of("TCP", "UDP");
      const port = random.of(...ports);
      flushConntrack(tracker);
      witness.take();
      const send = protocol === "TCP" ? attemptTcp : attemptUdp;
      await send(sender, { ...(from !== undefined && { from }), to, port, timeout: 12 });
      const steps = await traced();
      const header = steps.find(({ transportHeader }) => transportHeader !== undefined)?.transportHeader;
      assert.ok(header !== undefined, `no trace of ${protocol} ${from ?? "node"} to ${to}:${port}\n${loaded.text}`);
      const question: Question = {
        ...(from !== undefined && { input: "eth0" }),
        packet: {
          family: family === "ip" ? "IPv4" : "IPv6",
          ...(from !== undefined && { source: from }),
          destination: to,
          protocol: protocol === "TCP" ? 6 : 17,
          sourcePort: ((header[0] ?? 0) << 8) | (header[1] ?? 0),
          destinationPort: port,
        },
      };
      const { ends } = walk(snapshot, question, { everyBranch: true });
      const kernel = linesOfTrace(steps).join("\n");
      const branches = ends.map(({ state }) => linesOfWalk(state).join("\n"));
      pairs++;
      if (ends.some(({ state, outcome }) => state.assumptions.length > 0 || outcome.kind === "unknown")) depends++;
      // Every branch apart can be more than a walk follows; it says so, and nothing can be compared.
      if (ends.some(({ outcome }) => outcome.kind === "unknown" && /too many/.test(outcome.why))) continue;
      assert.ok(
        branches.includes(kernel),
        `rule set ${i}, ${protocol} ${from ?? "node"} to ${to}:${port}\nkernel:\n${kernel}\nwalk:\n${branches.join("\n-- or\n")}\n${JSON.stringify(ends.map(({ outcome }) => outcome))}\n${loaded.text}`,
      );
    }
  }
  context.diagnostic(
    `${pairs} pairs agree, ${depends} depend on something, ${refused} lines of the grammar were refused`,
  );
  assert.ok(depends < pairs / 5);
});

/** The trace of the packet that was just sent, which a neighbour that is not found yet may hold up. */
async function traced(): Promise<readonly TraceStep[]> {
  const steps: TraceStep[] = [];
  for (let tries = 0; tries < 200 && steps.length === 0; tries++) {
    await sleep(3);
    steps.push(...witness.take());
  }
  await sleep(3);
  return [...steps, ...witness.take()];
}

/** Loads a rule set, without the lines that nft refuses. */
function load(text: string): { readonly text: string; readonly refused: number } {
  let lines = text.split("\n");
  for (let refused = 0; ; ) {
    try {
      node.exec("nft", ["-f", "-"], { input: `flush ruleset\n${lines.join("\n")}` });
      return { text: node.exec("nft", ["-a", "list", "ruleset"]), refused };
    } catch (error) {
      const words = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
      const numbers = new Set([...words.matchAll(/^\/dev\/stdin:(\d+):/gm)].map(([, number]) => Number(number) - 2));
      if (numbers.size === 0) throw error;
      refused += numbers.size;
      lines = lines.filter((_, number) => !numbers.has(number));
    }
  }
}

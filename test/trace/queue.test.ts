/** Packets that rules give to programs: what becomes of them with and without a program, in the kernel as in walks. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { NetlinkSocket, protocols } from "../../src/kernel/netlink/index.ts";
import { nodeBetween, snapshots, to, verified } from "./between.ts";
import { lockOfOurOwn } from "./support.ts";

lockOfOurOwn();
const between = nodeBetween("queue");
const { node } = between;
const forget = () => {
  node.exec("nft", ["flush", "ruleset"]);
  node.exec("iptables-legacy", ["-F"]);
};
afterEach(forget);

/** Listens on a queue, and never decides (`NFQNL_MSG_CONFIG`, `NFQNL_CFG_CMD_BIND`). */
function listen(queue: number): Disposable {
  const socket = node.run(() => new NetlinkSocket(protocols.netfilter));
  socket.request(`bind queue ${queue}`, (3 << 8) | 2, 0, (writer) => {
    writer.bytes(Uint8Array.of(0, 0, queue >> 8, queue & 255));
    writer.attributeBytes(1, Uint8Array.of(1, 0, 0, 2));
  });
  return socket;
}

/** The ends of an echo request through rules of the node: the kernel went one of the ways. */
async function endsOf(): Promise<readonly string[]> {
  const { ends } = await verified(between, { family: "IPv4", destination: to, protocol: 1, icmpType: 8 });
  return ends.map(({ outcome }) => ("by" in outcome ? outcome.by : "why" in outcome ? outcome.why : outcome.kind));
}

const variants = ["iptables", "iptables-legacy"] as const;
/** Gives what is forwarded to a queue. */
const queue = (program: string, ...options: readonly string[]) =>
  node.exec(program, ["-A", "FORWARD", "-d", to, "-j", "NFQUEUE", ...options]);
const bypass = "--queue-bypass";

test("without a program a queue drops, unless its rule lets packets pass; then no further rule of the chain is asked", async () => {
  for (const program of variants) {
    queue(program, "--queue-num", "7", bypass);
    queue(program, "--queue-num", "7");
    assert.deepEqual(await endsOf(), ["delivered"], program);
    node.exec(program, ["-D", "FORWARD", "1"]);
    const [end] = await endsOf();
    assert.match(end ?? "", /filter FORWARD rule 1 \(no program listens on queue 7\)$/);
    forget();
  }
});

test("what a queue lets pass meets the next chain", async () => {
  queue("iptables", "--queue-num", "7", bypass);
  node.exec("nft", ["-f", "-"], {
    input: "table ip q { chain c { type filter hook forward priority 5; policy drop; }; }",
  });
  assert.deepEqual(await endsOf(), ["policy of ip q c"]);
});

test("what a program does with a packet is not known, and both possibilities are followed", async () => {
  using _ = listen(5);
  const unknown = "ip filter FORWARD rule 1: the program at queue 5 may drop or change it";
  queue("iptables", "--queue-num", "5", bypass);
  assert.deepEqual((await endsOf()).toSorted(), ["delivered", unknown]);
  node.exec("iptables", ["-F"]);
  // Nobody listens on the second one.
  queue("iptables", "--queue-balance", "5:6", bypass);
  assert.deepEqual((await endsOf()).toSorted(), ["delivered", unknown]);
});

test("the queues on which programs listen are in a snapshot", async () => {
  using _a = listen(5);
  using _b = listen(300);
  const [, taken] = await snapshots(between);
  assert.deepEqual(taken?.queues, [5, 300]);
});

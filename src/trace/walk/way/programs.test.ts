/** What eBPF programs at sockets make uncertain: what programs of a place ask for, and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import type { PacketProgram } from "../../snapshot/programs.ts";
import { emptySnapshot } from "../../snapshot/testing.ts";
import { walk } from "../index.ts";

const programs: readonly PacketProgram[] = [
  { hook: "connect4", kind: "bpf", name: "connects" },
  { hook: "connect6", kind: "bpf", name: "connects6" },
  { hook: "sendmsg4", kind: "bpf" },
];
const own = parseAddress("10.0.0.1");

/** The ends of a packet of a protocol, from the node to itself. */
function endsOf(protocol: number): readonly string[] {
  const packet = { family: "IPv4", destination: own, protocol, destinationPort: 80 } as const;
  const { ends } = walk({ ...emptySnapshot, programs }, { packet }, { answers: true });
  return ends.map(({ outcome }) => ("why" in outcome ? outcome.why.replace(/ may .*/, "") : outcome.kind));
}

test("programs that change where sockets lead make connections uncertain, and datagrams, each by their own hooks", () => {
  assert.deepEqual(endsOf(6), ["eBPF program connects at sockets", "no socket"]);
  assert.deepEqual(endsOf(17), ["eBPF program connects at sockets", "eBPF program at sockets", "no socket"]);
});

test("echo requests know no such programs", () => {
  assert.deepEqual(endsOf(1), ["delivered"]);
});

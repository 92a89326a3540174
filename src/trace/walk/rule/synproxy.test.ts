import assert from "node:assert/strict";
import { test } from "node:test";
import type { Expression, Hook } from "../../../kernel/nftables/index.ts";
import { parseAddress } from "../../../net/address.ts";
import { emptySnapshot } from "../../snapshot/testing.ts";
import { stepsOf, walk } from "../index.ts";

const place = { family: "ip", table: "t" } as const;
const synproxy: Expression = { kind: "synproxy", mss: 1460, wscale: 7 };
const counter: Expression = { kind: "counter", packets: 0, bytes: 0 };

/** Where a packet to port 80 of a node ends whose hook input has synproxy, and the rules that it meets. */
function ends(protocol: number, expression: Expression, how: { readonly everyBranch?: boolean } = {}) {
  const chain = (name: Hook) => ({ ...place, chain: name, base: { type: "filter", hook: name, priority: 0 } }) as const;
  const isEth0: readonly Expression[] = [
    { kind: "meta", dreg: 8, key: "iif" },
    { kind: "cmp", sreg: 8, op: "eq", data: Uint8Array.of(2, 0, 0, 0) },
  ];
  const snapshot = {
    ...emptySnapshot,
    nftables: {
      ...emptySnapshot.nftables,
      tables: [place],
      chains: [chain("input"), chain("output")],
      rules: [
        { ...place, chain: "input", expressions: [...isEth0, expression] },
        { ...place, chain: "output", expressions: [counter] },
      ],
    },
    sockets: (["TCP", "UDP"] as const).map((name) => ({
      protocol: name,
      address: parseAddress("0.0.0.0"),
      port: 80,
    })),
  };
  const [source, destination] = [parseAddress("203.0.113.5"), parseAddress("10.0.0.1")];
  const packet = { family: "IPv4", source, destination, protocol, destinationPort: 80, mark: 7 } as const;
  return walk(snapshot, { input: "eth0", packet }, how).ends.map(({ outcome, state }) => ({
    kind: outcome.kind,
    mark: state.packet.mark,
    rules: stepsOf(state).flatMap((step) => (step.kind === "rule" ? [step.chain] : [])),
  }));
}

test("after synproxy the node's own SYN is followed: it passes output, without the mark of the client's", () => {
  const followed = [{ kind: "delivered", mark: 0, rules: ["input", "output"] }];
  assert.deepEqual(ends(6, synproxy), followed);
  const info = Uint8Array.of(3, 7, 180, 5);
  assert.deepEqual(ends(6, { kind: "target", name: "SYNPROXY", revision: 0, info }), followed);
});

test("synproxy takes TCP alone, and where one packet is compared with the kernel's trace nothing is followed", () => {
  assert.deepEqual(ends(17, synproxy), [{ kind: "delivered", mark: 7, rules: [] }]);
  assert.deepEqual(
    ends(6, synproxy, { everyBranch: true }).map(({ kind }) => kind),
    ["unknown"],
  );
});

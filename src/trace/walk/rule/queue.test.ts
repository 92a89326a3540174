/** Queues of nf_tables: with programs that listen, without them, and where nobody knows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Expression } from "../../../kernel/nftables/index.ts";
import { parseAddress } from "../../../net/address.ts";
import { emptySnapshot } from "../../snapshot/testing.ts";
import { walk } from "../index.ts";

/** What becomes of a packet to the node itself that a rule gives to queues. */
function endsOf(queue: Expression & { readonly kind: "queue" }, queues?: readonly number[]): readonly unknown[] {
  const at = { family: "ip", table: "t", chain: "c" } as const;
  const snapshot = {
    ...emptySnapshot,
    nftables: {
      ...emptySnapshot.nftables,
      tables: [{ family: "ip", table: "t" }],
      chains: [{ ...at, base: { type: "filter", hook: "input", priority: 0 } }],
      rules: [{ ...at, expressions: [queue] }],
    },
    ...(queues !== undefined && { queues }),
  } as const;
  const packet = { family: "IPv4", destination: parseAddress("10.0.0.1"), protocol: 1, icmpType: 8 } as const;
  return walk(snapshot, { packet }).ends.map(({ outcome, state: { probability } }) => [outcome.kind, probability]);
}

test("where nobody listens, packets are dropped or pass, as the rule says", () => {
  assert.deepEqual(endsOf({ kind: "queue", number: 4 }, []), [["dropped", 1]]);
  assert.deepEqual(endsOf({ kind: "queue", number: 4, flags: ["bypass"] }, [5]), [["delivered", 1]]);
});

test("of several queues each gets its share, and a program decides where one listens", () => {
  assert.deepEqual(endsOf({ kind: "queue", number: 4, total: 4 }, [5]), [
    ["dropped", 0.25],
    ["unknown", 0.25],
    ["dropped", 0.25],
    ["dropped", 0.25],
    ["delivered", 0.25],
  ]);
});

test("a queue that is not known, or of which nobody knows whether a program listens, is not followed", () => {
  assert.deepEqual(endsOf({ kind: "queue", sreg: 1 }, []), [["unknown", 1]]);
  assert.deepEqual(endsOf({ kind: "queue", number: 4 }), [["unknown", 1]]);
  assert.deepEqual(endsOf({ kind: "queue", number: 0, total: 65_535 }, []), [["unknown", 1]]);
});

/** Expressions that change the packet, its mark or its connection. */
import type { Expression } from "../../../kernel/nftables/index.ts";
import { hostNumber } from "../compute.ts";
import { isKnown } from "../registers.ts";
import { change, go, lost, type Next, type Thread } from "./thread.ts";

/** An expression that changes something. */
export type Changing = Extract<Expression, { kind: "meta set" | "ct set" | "notrack" | "payload set" }>;

/** Changes the packet. */
export function runChanging(expression: Changing, thread: Thread): readonly Next[] {
  const { registers, state } = thread;
  switch (expression.kind) {
    case "meta set": {
      const value = registers.get(expression.sreg, 4);
      if (expression.key === "nftrace")
        return change(thread, { traced: (value.data[0] ?? 0) !== 0 }, "traces the packet");
      if (expression.key !== "mark" && expression.key !== "priority")
        return change(thread, {}, `sets meta ${expression.key}`);
      if (!isKnown(value)) return lost(thread, `the ${expression.key} that it sets is not known`);
      const number = hostNumber(value.data);
      const packet = { ...state.packet, [expression.key]: number };
      return change(thread, { packet }, `sets the ${expression.key} to 0x${number.toString(16)}`);
    }
    case "ct set": {
      const value = registers.get(expression.sreg, 4);
      if (state.connection === undefined || expression.key !== "mark")
        return change(thread, {}, `sets ct ${expression.key}`);
      if (!isKnown(value)) return lost(thread, "the connection's mark that it sets is not known");
      const mark = hostNumber(value.data);
      return change(
        thread,
        { connection: { ...state.connection, mark } },
        `sets the connection's mark to 0x${mark.toString(16)}`,
      );
    }
    case "notrack": {
      if (state.connection !== undefined) return go(thread);
      const untracked = {
        state: "untracked",
        mark: 0,
        original: state.packet,
        destinationTranslated: false,
        sourceTranslated: false,
        destinationSettled: true,
        sourceSettled: true,
        confirmed: false,
      } as const;
      return change(thread, { connection: untracked }, "leaves it out of connection tracking");
    }
    case "payload set":
      return lost(thread, "it rewrites bytes of the packet, which is not followed");
  }
}

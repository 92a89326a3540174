/** Matches and targets of iptables within a rule of nf_tables. */
import type { XtMatch, XtTarget } from "../../../kernel/nftables/index.ts";
import { evaluateMatch, readTarget } from "../xtables.ts";
import { type Context, change, decide, depends, end, go, lost, miss, type Next, type Thread } from "./thread.ts";
import { translate } from "./translate.ts";

/** Asks a match. */
export function runMatch(expression: XtMatch, thread: Thread, { world }: Context): readonly Next[] {
  const { state } = thread;
  const condition = evaluateMatch(expression, state, world);
  if (condition.kind === "known") return decide(thread, condition.holds, () => condition.text);
  if (condition.kind === "depends") return depends(thread, condition.text);
  const { probability, text } = condition;
  const share = (part: number) => ({ ...state, probability: state.probability * part });
  const held = { ...thread, state: share(probability), choice: `${Math.round(100 * probability)} % of packets` };
  if (probability >= 1) return go(held);
  return [...go(held), ...miss({ ...thread, state: share(1 - probability) }, `not ${text}`)];
}

/** Does what a target does. */
export function runTarget(expression: XtTarget, thread: Thread, context: Context): readonly Next[] {
  const { state } = thread;
  const action = readTarget(expression, state);
  if (action.kind === "nothing") return go(thread);
  if (action.kind === "unknown") {
    return lost(thread, `iptables' target ${expression.name} is not followed`);
  }
  if (action.kind === "reject") return end({ ...thread, answer: action.how }, { kind: "drop" });
  if (action.kind === "mark") {
    return change(
      thread,
      { packet: { ...state.packet, mark: action.mark } },
      `sets the mark to 0x${action.mark.toString(16)}`,
    );
  }
  const family = state.packet.family === "IPv4" ? "ip" : "ip6";
  const flags = action.random ? (["random"] as const) : [];
  const { type } = action;
  const nat =
    type === "dnat" || type === "snat"
      ? ({ kind: "nat", type, family, flags } as const)
      : ({ kind: type, flags } as const);
  return translate(thread, nat, action.range, context);
}

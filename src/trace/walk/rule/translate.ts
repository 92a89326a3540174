/** Address translation. */
import type { Masq, Nat, Redir } from "../../../kernel/nftables/index.ts";
import { applyNat, type NatRange, natRange } from "../nat.ts";
import { type Context, end, go, lost, type Next, type Thread } from "./thread.ts";

/** Translates by the addresses and ports in registers. */
export function runNat(expression: Nat | Masq | Redir, thread: Thread, context: Context): readonly Next[] {
  const { registers, state } = thread;
  const isIPv4 = state.packet.family === "IPv4";
  if (expression.kind === "nat" && (expression.family === "ip") !== isIPv4) return go(thread);
  const range = natRange(expression, registers, state);
  if (range === undefined) return lost(thread, "what it translates to is not known");
  return translate(thread, expression, range, context);
}

/** Translates; the rule ends with it. */
export function translate(
  thread: Thread,
  nat: Nat | Masq | Redir,
  range: NatRange,
  { where, world }: Context,
): readonly Next[] {
  const translated = applyNat(nat, range, thread.state, where, world);
  if (translated === undefined) return lost(thread, "what it translates to is not known");
  const { state, effect } = translated;
  return end({ ...thread, state, effects: [...thread.effects, effect] }, { kind: "accept" });
}

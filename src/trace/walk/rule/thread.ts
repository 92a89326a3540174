/** One packet within one rule: its registers, and how an expression goes on. */
import type { Rule, Verdict } from "../../../kernel/nftables/index.ts";
import type { Where } from "../load/values.ts";
import type { Registers } from "../registers.ts";
import { assuming, type State } from "../state.ts";
import type { World } from "../world.ts";

/** What became of a packet at a rule. */
export interface RuleResult {
  readonly state: State;
  /** `queued`: a program gets it, or would. `continue`: it matched and decided nothing. `miss`: it did not match. `lost`: what it does cannot be told. `again`: it ends here, and this node sends one like it. */
  readonly verdict:
    | Verdict
    | { readonly kind: "miss" }
    | { readonly kind: "again" }
    | { readonly kind: "queued"; readonly queue: number; readonly fate: QueueFate }
    | { readonly kind: "lost"; readonly why: string };
  /** Why it did not match. */
  readonly why?: string;
  readonly effects: readonly string[];
  readonly choice?: string;
  /** How a packet is refused that is dropped with an answer. */
  readonly answer?: string;
}

/** What becomes of a packet that was given to a queue. */
export type QueueFate = { readonly kind: "accept" } | { readonly kind: "drop" | "lost"; readonly why: string };

/** What a rule's expressions look at beside the packet. */
export interface Context {
  readonly rule: Rule;
  readonly where: Where;
  readonly world: World;
}

/** One packet, one set of registers. */
export interface Thread {
  readonly registers: Registers;
  readonly state: State;
  readonly effects: readonly string[];
  readonly choice?: string;
  readonly answer?: string;
}

/** What an expression makes of a packet: it goes on to the next expression, or the rule ends for it. */
export type Next =
  | { readonly kind: "go"; readonly thread: Thread }
  | { readonly kind: "end"; readonly thread: Thread; readonly verdict: RuleResult["verdict"]; readonly why?: string };

/** On to the next expression. */
export const go = (thread: Thread): readonly Next[] => [{ kind: "go", thread }];

/** The rule does not match. */
export const miss = (thread: Thread, why: string): readonly Next[] => [
  { kind: "end", thread, verdict: { kind: "miss" }, why },
];

/** The rule ends with a verdict. */
export const end = (thread: Thread, verdict: RuleResult["verdict"]): readonly Next[] => [
  { kind: "end", thread, verdict },
];

/** What happens from here on cannot be told. */
export const lost = (thread: Thread, why: string): readonly Next[] => end(thread, { kind: "lost", why });

/** On with a changed packet. */
export const change = (thread: Thread, changed: Partial<State>, effect: string): readonly Next[] =>
  go({ ...thread, state: { ...thread.state, ...changed }, effects: [...thread.effects, effect] });

/** Both possibilities, each with what it takes for granted. */
export function depends(thread: Thread, text: string): readonly Next[] {
  return [
    { kind: "go", thread: { ...thread, state: assuming(thread.state, text) } },
    ...miss({ ...thread, state: assuming(thread.state, `not: ${text}`) }, `not: ${text}`),
  ];
}

/** On if a condition holds, both ways if that is not known. */
export function decide(thread: Thread, holds: boolean | undefined, text: () => string): readonly Next[] {
  if (holds === undefined) return depends(thread, text());
  return holds ? go(thread) : miss(thread, `not: ${text()}`);
}

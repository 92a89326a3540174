/** Look-ups in sets and maps, and elements that rules add. */
import { type Dynset, type Element, formatVerdict, type Lookup } from "../../../kernel/nftables/index.ts";
import { show } from "../compute.ts";
import { knownBytes } from "../packet.ts";
import { evaluate } from "../rule.ts";
import type { Found } from "../sets.ts";
import { assuming } from "../state.ts";
import { type Context, depends, end, go, lost, miss, type Next, type Thread } from "./thread.ts";

/** The most results that a rule's verdict map is followed to where its key is not known. */
const mostVerdicts = 64;

/** Looks a key up. */
export function runLookup(expression: Lookup, thread: Thread, context: Context): readonly Next[] {
  const { registers } = thread;
  const { set: name, sreg, dreg, inverted } = expression;
  const index = context.world.set(context.rule, name);
  if (index === undefined) return lost(thread, `there is no set ${name}`);
  const key = registers.get(sreg, index.set.key.length);
  const label = name.startsWith("__") ? "the rule's own set" : `set ${name}`;
  const found: Found = thread.state.touched.includes(name)
    ? { kind: "depends", candidates: index.set.elements }
    : index.find(key);
  const what = () => `${registers.unknownNames(sreg, key.data.length)} is in ${label}`;
  if (found.kind === "none") return inverted ? go(thread) : miss(thread, `${show(key.data)} is not in ${label}`);
  if (found.kind === "element")
    return inverted
      ? miss(thread, `${show(key.data)} is in ${label}`)
      : take(found.element, thread, expression, context);
  if (inverted || dreg === undefined) {
    const text = inverted ? `not: ${what()}` : what();
    return depends(thread, text);
  }
  // A map with a key that is not known: every distinct value may come of it.
  const distinct = new Map(
    found.candidates.map((element) => [JSON.stringify([element.verdict, element.data && [...element.data]]), element]),
  );
  if (distinct.size > mostVerdicts) return lost(thread, `what ${label} has for it is not known`);
  const none = { ...thread, state: assuming(thread.state, `not: ${what()}`) };
  return [
    ...[...distinct.values()].flatMap((element) => {
      const value =
        element.verdict === undefined ? show(element.data ?? new Uint8Array()) : formatVerdict(element.verdict);
      const branch = {
        ...thread,
        registers: registers.copy(),
        state: assuming(thread.state, `${label} has ${value} for ${registers.unknownNames(sreg, key.data.length)}`),
      };
      return take(element, branch, expression, context);
    }),
    ...miss(none, `not: ${what()}`),
  ];
}

/** What an element that was found does: its own expressions, then its value. */
function take(element: Element, thread: Thread, { dreg, set }: Lookup, context: Context): readonly Next[] {
  const said = element.comment === undefined ? [] : [`finds "${element.comment}" in ${set}`];
  let threads: readonly Next[] = go({ ...thread, effects: [...thread.effects, ...said] });
  for (const expression of element.expressions ?? []) {
    threads = threads.flatMap((each) => (each.kind === "go" ? evaluate(expression, each.thread, context) : [each]));
  }
  if (dreg === undefined) return threads;
  return threads.flatMap((each): readonly Next[] => {
    if (each.kind === "end") return [each];
    if (element.verdict !== undefined) {
      return element.verdict.kind === "continue" ? go(each.thread) : end(each.thread, element.verdict);
    }
    each.thread.registers.put(dreg, knownBytes(element.data ?? new Uint8Array()), `the value of map ${set}`);
    return go(each.thread);
  });
}

/** Adds an element to a set, renews it, or takes it out. */
export function runDynset(expression: Dynset, thread: Thread, context: Context): readonly Next[] {
  const { state } = thread;
  const index = context.world.set(context.rule, expression.set);
  const limited = [...(index?.set.expressions ?? []), ...(expression.expressions ?? [])].find(
    ({ kind }) => kind === "limit" || kind === "connlimit" || kind === "quota",
  );
  const touched = state.touched.includes(expression.set) ? state.touched : [...state.touched, expression.set];
  const changed = {
    ...thread,
    state: { ...state, touched },
    effects: [...thread.effects, `${expression.op}s an element of set ${expression.set}`],
  };
  if (limited !== undefined) return depends(changed, `the ${limited.kind} of set ${expression.set} lets it pass`);
  return expression.inverted ? miss(changed, "the element could be added") : go(changed);
}

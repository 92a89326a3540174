/** Chains: rules in order for all branches of a packet at once, with jump, goto and return as the kernel does them. */
import { type Chain, formatVerdict, type Rule, type Verdict } from "../../kernel/nftables/index.ts";
import { joinStates } from "./join.ts";
import { commentOf } from "./legacy.ts";
import type { Where } from "./load/values.ts";
import { type RuleResult, runRule } from "./rule.ts";
import { type Ended, type State, withStep } from "./state.ts";
import type { World } from "./world.ts";

/** How a walk is recorded. */
export interface Recording {
  /** True to record rules that did not match, too. */
  readonly everyRule: boolean;
  /** Says after each rule whether a packet that met it so is followed further; all are if not given. */
  readonly keep?: (state: State) => boolean;
}

/** What becomes of packets: those that go on, and those whose way has ended. */
export interface Passage {
  readonly states: readonly State[];
  readonly ended: readonly Ended[];
}

/** How deep jumps may be nested: nf_tables' limit (`NFT_JUMP_STACK_SIZE`); iptables' old variant has none of its own. */
const deepest = ({ table }: Chain) => (table.startsWith("iptables-legacy ") ? mostCalls : 16);
/** A goto needs no place to return to, but a circle of them must end, too. */
const mostCalls = 512;

/** The most branches that are followed at the same time. */
const mostBranches = 4096;

/** How many chains a packet is within: those that it jumped into, and all. */
interface Nesting {
  readonly jumps: number;
  readonly calls: number;
}

interface Decided {
  readonly state: State;
  readonly kind: "accept" | "drop" | "lost" | "again";
  readonly by: string;
  readonly why?: string;
  readonly answer?: string;
}

interface Through {
  /** At the end of the chain, or returned from it. */
  readonly states: readonly State[];
  readonly decided: readonly Decided[];
}

/** Runs a base chain. */
export function runBaseChain(
  chain: Chain,
  states: readonly State[],
  where: Where,
  world: World,
  recording: Recording,
): Passage {
  const { states: through, decided } = runChain(chain, states, where, world, recording, { jumps: 0, calls: 0 });
  const ended: Ended[] = [];
  const passed: State[] = [];
  const policy = chain.base?.policy ?? "accept";
  const place = { family: chain.family, table: chain.table, chain: chain.chain };
  for (const state of through) {
    const next = withStep(state, { kind: "policy", ...place, verdict: policy });
    if (policy === "accept") passed.push(next);
    else ended.push({ state: next, outcome: { kind: "dropped", by: `policy of ${placeName(chain)}` } });
  }
  for (const { state, kind, by, why, answer } of decided) {
    if (kind === "accept") passed.push(state);
    else if (kind === "again") ended.push({ state, outcome: { kind: "dropped", by }, again: true });
    else if (kind === "lost") ended.push({ state, outcome: { kind: "unknown", why: `${by}: ${why ?? ""}` } });
    else if (answer === undefined) {
      ended.push({ state, outcome: { kind: "dropped", by: why === undefined ? by : `${by} (${why})` } });
    } else ended.push({ state, outcome: { kind: "rejected", by, how: answer } });
  }
  return { states: join(passed), ended };
}

function runChain(
  chain: Chain,
  entering: readonly State[],
  where: Where,
  world: World,
  recording: Recording,
  nesting: Nesting,
): Through {
  const returned: State[] = [];
  const decided: Decided[] = [];
  let states: readonly State[] = entering;
  for (const [i, rule] of world.rulesOf(chain, chain.chain).entries()) {
    if (states.length === 0) break;
    const by = `${placeName(chain)} rule ${i + 1}`;
    const next: State[] = [];
    const calls = new Map<string, { readonly verdict: Verdict & { chain: string }; readonly states: State[] }>();
    for (const state of states) {
      if (!world.spend(1)) {
        decided.push({ state, kind: "lost", by, why: "the rules take too many steps" });
        continue;
      }
      for (const result of runRule(rule, state, where, world)) {
        const { verdict } = result;
        const after = recorded(result, rule, i + 1, recording);
        if (verdict.kind !== "miss" && recording.keep?.(after) === false) continue;
        if (verdict.kind === "miss" || verdict.kind === "continue") next.push(after);
        else if (verdict.kind === "return") returned.push(after);
        else if (verdict.kind === "jump" || verdict.kind === "goto") {
          const name = formatVerdict(verdict);
          const call = calls.get(name) ?? { verdict, states: [] as State[] };
          call.states.push(after);
          calls.set(name, call);
        } else if (verdict.kind === "accept" || verdict.kind === "stop")
          decided.push({ state: after, kind: "accept", by });
        else if (verdict.kind === "queued") {
          const { fate } = verdict;
          const why = "why" in fate ? { why: fate.why } : {};
          decided.push({ state: after, kind: fate.kind, by, ...why });
        } else if (verdict.kind === "again") decided.push({ state: after, kind: "again", by });
        else if (verdict.kind === "drop") {
          decided.push({
            state: after,
            kind: "drop",
            by,
            ...(result.answer !== undefined && { answer: result.answer }),
          });
        } else {
          const why = verdict.kind === "lost" ? verdict.why : `verdict ${verdict.kind} is not followed`;
          decided.push({ state: after, kind: "lost", by, why });
        }
      }
    }
    for (const { verdict, states: called } of calls.values()) {
      const target = world.chain(chain, verdict.chain);
      const inner = { jumps: nesting.jumps + (verdict.kind === "jump" ? 1 : 0), calls: nesting.calls + 1 };
      if (target === undefined || inner.jumps > deepest(chain) || inner.calls > mostCalls) {
        const why = target === undefined ? `there is no chain ${verdict.chain}` : "jumps are nested too deeply";
        decided.push(...called.map((state) => ({ state, kind: "lost", by, why }) as const));
        continue;
      }
      const through = runChain(target, called, where, world, recording, inner);
      for (const each of through.decided) decided.push(each);
      const onwards = verdict.kind === "jump" ? next : returned;
      for (const state of through.states) onwards.push(state);
    }
    states = join(next);
    const [cut, ...others] = states.slice(mostBranches);
    if (cut !== undefined) {
      const probability = others.reduce((sum, state) => sum + state.probability, cut.probability);
      decided.push({ state: { ...cut, probability }, kind: "lost", by, why: "there are too many branches to follow" });
    }
    states = states.slice(0, mostBranches);
  }
  return {
    states: join([...returned, ...states]),
    decided: joinStates(
      decided,
      ({ state }) => state,
      (each, state) => ({ ...each, state }),
      ({ kind, by, why, answer }) => JSON.stringify(kind === "accept" ? kind : [kind, by, why, answer]),
    ),
  };
}

/** The state with the step that a rule's result is. */
function recorded(
  { state, verdict, effects, choice, why, answer }: RuleResult,
  rule: Rule,
  number: number,
  { everyRule }: Recording,
): State {
  const place = { family: rule.family, table: rule.table, chain: rule.chain, number };
  if (verdict.kind === "miss") {
    return everyRule ? withStep(state, { kind: "miss", ...place, why: why ?? "" }) : state;
  }
  const comment = rule.comment ?? commentOf(rule.expressions);
  return withStep(state, {
    kind: "rule",
    ...place,
    verdict: recordedVerdict(verdict),
    effects: [
      ...effects,
      ...(answer === undefined ? [] : [`answers with ${answer}`]),
      ...(verdict.kind === "lost" ? [verdict.why] : []),
    ],
    ...(rule.handle !== undefined && { handle: rule.handle }),
    ...(comment !== undefined && { comment }),
    ...(choice !== undefined && { choice }),
  });
}

/** A verdict as the kernel records it. */
function recordedVerdict(verdict: Exclude<RuleResult["verdict"], { kind: "miss" }>): Verdict {
  if (verdict.kind === "lost" || verdict.kind === "again") return { kind: "continue" };
  return verdict.kind === "queued" ? { kind: "queue", queue: verdict.queue } : verdict;
}

/** Joins states that became equal. */
export function join(states: readonly State[]): State[] {
  return joinStates(
    states,
    (state) => state,
    (_, state) => state,
    () => "",
  );
}

/** `ip filter input`. */
export function placeName({ family, table, chain }: Pick<Chain, "family" | "table" | "chain">): string {
  return `${family} ${table} ${chain}`;
}

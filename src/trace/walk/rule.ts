/** One rule for one packet: its expressions in order, on registers. */
import type { Expression, Register, Rule } from "../../kernel/nftables/index.ts";
import { joinStates, stateKey } from "./join.ts";
import { loadCt } from "./load/connection.ts";
import { loadExthdr, loadPayload } from "./load/headers.ts";
import { loadMeta, loadSocket } from "./load/meta.ts";
import { loadFib, loadRt } from "./load/route.ts";
import type { Loaded, Where } from "./load/values.ts";
import { knownBytes, unknownBytes } from "./packet.ts";
import { Registers } from "./registers.ts";
import { runChanging } from "./rule/change.ts";
import { runChoice, runHash } from "./rule/choice.ts";
import { runComputing } from "./rule/compute.ts";
import { runLimit } from "./rule/limits.ts";
import { runDynset, runLookup } from "./rule/lookup.ts";
import { runTproxy } from "./rule/proxy.ts";
import { queueOf, runQueue } from "./rule/queue.ts";
import { runSynproxy } from "./rule/synproxy.ts";
import {
  type Context,
  change,
  depends,
  end,
  go,
  lost,
  miss,
  type Next,
  type RuleResult,
  type Thread,
} from "./rule/thread.ts";
import { runNat } from "./rule/translate.ts";
import { runMatch, runTarget } from "./rule/xtables.ts";
import type { State } from "./state.ts";
import type { World } from "./world.ts";

export type { RuleResult } from "./rule/thread.ts";

/** Runs a rule. Branches of the same result are one, with their probabilities added. */
export function runRule(rule: Rule, state: State, where: Where, world: World): RuleResult[] {
  const context = { rule, where, world };
  const results: RuleResult[] = [];
  const run = (thread: Thread, from: number): void => {
    let current = thread;
    for (let i = from; i < rule.expressions.length; i++) {
      const expression = rule.expressions[i];
      if (expression === undefined) break;
      const next = evaluate(expression, current, context);
      const [only] = next;
      if (next.length === 1 && only?.kind === "go") {
        current = only.thread;
        continue;
      }
      for (const each of next) {
        if (each.kind === "go") run(each.thread, i + 1);
        else results.push(resultOf(each.thread, each.verdict, each.why));
      }
      return;
    }
    results.push(resultOf(current, { kind: "continue" }));
  };
  run({ registers: new Registers(), state, effects: [] }, 0);
  if (state.apart) return sameSteps(results);
  return joinStates(
    results,
    (result) => result.state,
    (result, joined) => ({ ...result, state: joined }),
    ({ verdict, answer }) => JSON.stringify([verdict, answer]),
  );
}

/** Ways that are kept apart are one all the same if no step of theirs differs: draws that come to the same. */
function sameSteps(results: readonly RuleResult[]): RuleResult[] {
  if (results.length < 2) return [...results];
  const groups = new Map<string, RuleResult>();
  for (const result of results) {
    const { state, verdict, answer, effects, why } = result;
    const key = `${JSON.stringify([verdict, answer, effects, why, state.assumptions])} ${stateKey(state)}`;
    const before = groups.get(key);
    const probability = (before?.state.probability ?? 0) + state.probability;
    groups.set(key, { ...result, state: { ...state, probability } });
  }
  return [...groups.values()];
}

function resultOf(
  { state, effects, choice, answer }: Thread,
  verdict: RuleResult["verdict"],
  why?: string,
): RuleResult {
  return {
    state,
    verdict,
    effects,
    ...(why !== undefined && { why }),
    ...(choice !== undefined && { choice }),
    ...(answer !== undefined && { answer }),
  };
}

/** What an expression makes of a packet. */
export function evaluate(expression: Expression, thread: Thread, context: Context): readonly Next[] {
  const { registers, state } = thread;
  const { world } = context;
  const loaded = (dreg: Register, value: Loaded) => {
    if ("absent" in value) return miss(thread, value.absent);
    registers.put(dreg, value.value, value.name);
    return go(thread);
  };
  switch (expression.kind) {
    case "payload":
      return loaded(expression.dreg, loadPayload(expression, state, context.where));
    case "meta":
      if (expression.key === "random")
        return loaded(expression.dreg, { name: "a random number", value: unknownBytes(4) });
      return loaded(expression.dreg, loadMeta(expression, state, world, context.where));
    case "ct":
      return loaded(expression.dreg, loadCt(expression, state));
    case "fib":
      return loaded(expression.dreg, loadFib(expression, state, world));
    case "rt":
      return loaded(expression.dreg, loadRt(expression, state));
    case "exthdr":
      return loaded(expression.dreg, loadExthdr(expression, state));
    case "immediate":
      registers.put(expression.dreg, knownBytes(expression.data), "a constant");
      return go(thread);
    case "jhash":
      return runHash(expression, thread, context);
    case "numgen":
    case "symhash":
      return runChoice(thread, expression, context);
    case "socket":
      return loaded(expression.dreg, loadSocket(expression, state, world));
    case "osf":
    case "tunnel":
    case "xfrm":
      return loaded(expression.dreg, {
        name: `${expression.kind} ${"key" in expression ? expression.key : "name"}`,
        value: unknownBytes(16),
      });

    case "cmp":
    case "range":
    case "bitwise":
    case "bitwise op":
    case "bitwise shift":
    case "byteorder":
      return runComputing(expression, thread);
    case "lookup":
      return runLookup(expression, thread, context);
    case "dynset":
      return runDynset(expression, thread, context);

    case "meta set":
    case "ct set":
    case "notrack":
    case "payload set":
      return runChanging(expression, thread);

    case "verdict":
      return expression.verdict.kind === "continue" ? go(thread) : end(thread, expression.verdict);
    case "reject": {
      const how =
        expression.type === "tcp reset"
          ? "TCP reset"
          : `ICMP error ${expression.type === "icmpx" ? (["no route", "port unreachable", "host unreachable", "administratively prohibited"][expression.code ?? 0] ?? expression.code) : `code ${expression.code ?? 0}`}`;
      return end({ ...thread, answer: how }, { kind: "drop" });
    }
    case "nat":
    case "masq":
    case "redir":
      return runNat(expression, thread, context);

    case "counter":
    case "log":
    case "last":
    case "exthdr set":
    case "exthdr reset":
    case "flow offload":
      return go(thread);
    case "dup":
      return change(thread, {}, "sends a copy elsewhere");
    case "quota":
    case "limit":
    case "connlimit":
    case "objref":
    case "objref map":
      return runLimit(expression, thread, context);
    case "queue":
      return runQueue(queueOf(expression), thread, context);
    case "inner":
      return depends(thread, "the packet inside the tunnel is as the rule wants it");
    case "synproxy":
      return runSynproxy(thread);
    case "tproxy":
      return runTproxy(expression, thread, context);
    case "fwd":
      return lost(thread, "it is sent out of another interface");
    case "match":
      return runMatch(expression, thread, context);
    case "target":
      return runTarget(expression, thread, context);
    case "unknown":
      return lost(thread, `expression ${expression.name} is not known to this program`);
  }
}

/** One rule for one packet: its expressions in order, on registers. */
import {
  type Element,
  type Expression,
  formatVerdict,
  hostU32Bytes,
  type Masq,
  type Nat,
  type Redir,
  type Register,
  type Rule,
  type Verdict,
} from "../../kernel/nftables/index.ts";
import { compare, hostNumber, shift, show, swap } from "./compute.ts";
import { type Loaded, loadCt, loadExthdr, loadFib, loadMeta, loadPayload, loadRt, type Where } from "./load.ts";
import { applyNat, type NatRange, natRange } from "./nat.ts";
import { knownBytes, unknownBytes } from "./packet.ts";
import { compareKnown, isKnown, Registers } from "./registers.ts";
import type { Found } from "./sets.ts";
import { assuming, joinStates, type State } from "./state.ts";
import type { World } from "./world.ts";
import { evaluateMatch, readTarget } from "./xtables.ts";

/** What became of a packet at a rule. */
export interface RuleResult {
  readonly state: State;
  /** `continue`: it matched and decided nothing. `miss`: it did not match. `lost`: what it does cannot be told. */
  readonly verdict: Verdict | { readonly kind: "miss" } | { readonly kind: "lost"; readonly why: string };
  /** Why it did not match. */
  readonly why?: string;
  readonly effects: readonly string[];
  readonly choice?: string;
  /** How a packet is refused that is dropped with an answer. */
  readonly answer?: string;
}

/** The most branches that one rule makes. */
const mostBranches = 65_536;
/** The most results that a rule's verdict map is followed to where its key is not known. */
const mostVerdicts = 64;

/** One packet, one set of registers. */
interface Thread {
  readonly registers: Registers;
  readonly state: State;
  readonly effects: readonly string[];
  readonly choice?: string;
  readonly answer?: string;
}

type Next =
  | { readonly kind: "go"; readonly thread: Thread }
  | { readonly kind: "end"; readonly thread: Thread; readonly verdict: RuleResult["verdict"]; readonly why?: string };

const go = (thread: Thread): readonly Next[] => [{ kind: "go", thread }];
const miss = (thread: Thread, why: string): readonly Next[] => [
  { kind: "end", thread, verdict: { kind: "miss" }, why },
];
const end = (thread: Thread, verdict: RuleResult["verdict"]): readonly Next[] => [{ kind: "end", thread, verdict }];

/** Runs a rule. Branches of the same result are one, with their probabilities added. */
export function runRule(rule: Rule, state: State, where: Where, world: World): RuleResult[] {
  const results: RuleResult[] = [];
  const run = (thread: Thread, from: number): void => {
    let current = thread;
    for (let i = from; i < rule.expressions.length; i++) {
      const expression = rule.expressions[i];
      if (expression === undefined) break;
      const next = evaluate(expression, current, rule, where, world);
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
  return joinStates(
    results,
    (result) => result.state,
    (result, joined) => ({ ...result, state: joined }),
    ({ verdict, answer }) => JSON.stringify([verdict, answer]),
  );
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

/** Both possibilities, each with what it takes for granted. */
function depends(thread: Thread, text: string): readonly Next[] {
  return [
    { kind: "go", thread: { ...thread, state: assuming(thread.state, text) } },
    ...miss({ ...thread, state: assuming(thread.state, `not: ${text}`) }, `not: ${text}`),
  ];
}

function decide(thread: Thread, holds: boolean | undefined, text: () => string): readonly Next[] {
  if (holds === undefined) return depends(thread, text());
  return holds ? go(thread) : miss(thread, `not: ${text()}`);
}

function evaluate(expression: Expression, thread: Thread, rule: Rule, where: Where, world: World): readonly Next[] {
  const { registers, state } = thread;
  const loaded = (dreg: Register, value: Loaded) => {
    if ("absent" in value) return miss(thread, value.absent);
    registers.put(dreg, value.value, value.name);
    return go(thread);
  };
  const set = (change: Partial<State>, effect: string): readonly Next[] =>
    go({ ...thread, state: { ...state, ...change }, effects: [...thread.effects, effect] });

  switch (expression.kind) {
    case "payload":
      return loaded(expression.dreg, loadPayload(expression, state));
    case "meta":
      if (expression.key === "random")
        return loaded(expression.dreg, { name: "a random number", value: unknownBytes(4) });
      return loaded(expression.dreg, loadMeta(expression, state, world));
    case "ct":
      return loaded(expression.dreg, loadCt(expression, state));
    case "fib":
      return loaded(expression.dreg, loadFib(expression, state, world));
    case "rt":
      return loaded(expression.dreg, loadRt(expression, state));
    case "exthdr":
      return loaded(expression.dreg, loadExthdr(expression));
    case "immediate":
      registers.put(expression.dreg, knownBytes(expression.data), "a constant");
      return go(thread);
    case "numgen":
    case "symhash":
    case "jhash":
      return choose(thread, expression, world);
    case "socket":
    case "osf":
    case "tunnel":
    case "xfrm":
      return loaded(expression.dreg, {
        name: `${expression.kind} ${"key" in expression ? expression.key : "name"}`,
        value: unknownBytes(16),
      });

    case "cmp": {
      const { sreg, op, data } = expression;
      const value = registers.get(sreg, data.length);
      return decide(
        thread,
        compare(value, op, data),
        () => `${registers.unknownNames(sreg, data.length)} ${op} ${show(data)}`,
      );
    }
    case "range": {
      const { sreg, op, from, to } = expression;
      const value = registers.get(sreg, from.length);
      const low = compareKnown(value, from);
      const high = compareKnown(value, to);
      const inside = low === undefined || high === undefined ? undefined : low >= 0 && high <= 0;
      const holds = inside === undefined ? undefined : inside === (op === "eq");
      return decide(
        thread,
        holds,
        () => `${registers.name(sreg)} ${op === "eq" ? "in" : "not in"} ${show(from)} to ${show(to)}`,
      );
    }
    case "bitwise": {
      const { sreg, dreg, length, mask, xor } = expression;
      const { data, known } = registers.get(sreg, length);
      const result = {
        data: data.map((byte, i) => (byte & (mask[i] ?? 0)) ^ (xor[i] ?? 0)),
        known: known.map((byte, i) => byte | (~(mask[i] ?? 0) & 255)),
      };
      registers.put(dreg, result, registers.name(sreg));
      return go(thread);
    }
    case "bitwise op": {
      const { sreg, dreg, length, op, sreg2 } = expression;
      const left = registers.get(sreg, length);
      const right =
        sreg2 === undefined ? knownBytes(expression.data ?? new Uint8Array(length)) : registers.get(sreg2, length);
      const operate = {
        and: (a: number, b: number) => a & b,
        or: (a: number, b: number) => a | b,
        xor: (a: number, b: number) => a ^ b,
      }[op];
      const both = isKnown(left) && isKnown(right);
      const value = both
        ? knownBytes(left.data.map((byte, i) => operate(byte, right.data[i] ?? 0)))
        : unknownBytes(length);
      registers.put(dreg, value, registers.name(sreg));
      return go(thread);
    }
    case "bitwise shift": {
      const { sreg, dreg, length } = expression;
      const value = registers.get(sreg, length);
      registers.put(
        dreg,
        isKnown(value) ? knownBytes(shift(value.data, expression.direction, expression.bits)) : unknownBytes(length),
        registers.name(sreg),
      );
      return go(thread);
    }
    case "byteorder": {
      const { sreg, dreg, length, size } = expression;
      const { data, known } = registers.get(sreg, length);
      registers.put(dreg, { data: swap(data, size), known: swap(known, size) }, registers.name(sreg));
      return go(thread);
    }
    case "lookup":
      return lookup(expression, thread, rule, where, world);
    case "dynset": {
      const index = world.set(rule, expression.set);
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

    case "meta set": {
      const value = registers.get(expression.sreg, 4);
      if (expression.key === "nftrace") return set({ traced: (value.data[0] ?? 0) !== 0 }, "traces the packet");
      if (expression.key !== "mark" && expression.key !== "priority") return set({}, `sets meta ${expression.key}`);
      if (!isKnown(value)) return end(thread, { kind: "lost", why: `the ${expression.key} that it sets is not known` });
      const number = hostNumber(value.data);
      const packet = { ...state.packet, [expression.key]: number };
      return set({ packet }, `sets the ${expression.key} to 0x${number.toString(16)}`);
    }
    case "ct set": {
      const value = registers.get(expression.sreg, 4);
      if (state.connection === undefined || expression.key !== "mark") return set({}, `sets ct ${expression.key}`);
      if (!isKnown(value)) return end(thread, { kind: "lost", why: "the connection's mark that it sets is not known" });
      const mark = hostNumber(value.data);
      return set({ connection: { ...state.connection, mark } }, `sets the connection's mark to 0x${mark.toString(16)}`);
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
      return set({ connection: untracked }, "leaves it out of connection tracking");
    }
    case "payload set":
      return end(thread, { kind: "lost", why: "it rewrites bytes of the packet, which is not followed" });

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
    case "redir": {
      const isIPv4 = state.packet.family === "IPv4";
      if (expression.kind === "nat" && (expression.family === "ip") !== isIPv4) return go(thread);
      const range = natRange(expression, registers, state);
      if (range === undefined) return end(thread, { kind: "lost", why: "what it translates to is not known" });
      return translated(thread, expression, range, where, world);
    }

    case "counter":
    case "log":
    case "last":
    case "exthdr set":
    case "exthdr reset":
    case "flow offload":
      return go(thread);
    case "dup":
      return set({}, "sends a copy elsewhere");
    case "quota": {
      const over = (expression.consumed ?? 0) >= expression.bytes;
      return decide(
        thread,
        over === (expression.inverted ?? false),
        () => `the quota of ${expression.bytes} bytes is ${expression.inverted ? "" : "not "}used up`,
      );
    }
    case "limit":
      return depends(
        thread,
        `the limit of ${expression.rate} each ${expression.unit} s is ${expression.inverted ? "" : "not "}exceeded`,
      );
    case "connlimit":
      return depends(
        thread,
        `there are ${expression.inverted ? "more than" : "at most"} ${expression.count} connections`,
      );
    case "objref": {
      const object = world.object(rule, expression.type, expression.name);
      if (expression.type === "quota" || expression.type === "limit" || expression.type === "connlimit") {
        if (object?.state.kind === "quota") return evaluate(object.state, thread, rule, where, world);
        return depends(thread, `${expression.type} ${expression.name} lets it pass`);
      }
      return expression.type === "synproxy"
        ? end(thread, { kind: "lost", why: "synproxy answers for the server" })
        : go(thread);
    }
    case "objref map":
      return depends(thread, `map ${expression.set} has an object for it that lets it pass`);
    case "queue":
      return end(thread, { kind: "queue", queue: expression.number ?? 0 });
    case "inner":
      return depends(thread, "the packet inside the tunnel is as the rule wants it");
    case "synproxy":
      return end(thread, { kind: "lost", why: "synproxy answers for the server" });
    case "tproxy":
      return end(thread, { kind: "lost", why: "tproxy gives it to a local socket" });
    case "fwd":
      return end(thread, { kind: "lost", why: "it is sent out of another interface" });
    case "match": {
      const condition = evaluateMatch(expression, state, world);
      if (condition.kind === "known") return decide(thread, condition.holds, () => condition.text);
      if (condition.kind === "depends") return depends(thread, condition.text);
      const { probability, text } = condition;
      const share = (part: number) => ({ ...state, probability: state.probability * part });
      const held = { ...thread, state: share(probability), choice: `${Math.round(100 * probability)} % of packets` };
      if (probability >= 1) return go(held);
      return [...go(held), ...miss({ ...thread, state: share(1 - probability) }, `not ${text}`)];
    }
    case "target": {
      const action = readTarget(expression, state);
      if (action.kind === "nothing") return go(thread);
      if (action.kind === "unknown") {
        return end(thread, { kind: "lost", why: `iptables' target ${expression.name} is not followed` });
      }
      if (action.kind === "reject") return end({ ...thread, answer: action.how }, { kind: "drop" });
      if (action.kind === "mark") {
        return set(
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
      return translated(thread, nat, action.range, where, world);
    }
    case "unknown":
      return end(thread, { kind: "lost", why: `expression ${expression.name} is not known to this program` });
  }
}

/** The branches of a translation: the rule ends with it. */
function translated(
  thread: Thread,
  nat: Nat | Masq | Redir,
  range: NatRange,
  where: Where,
  world: World,
): readonly Next[] {
  const all = applyNat(nat, range, thread.state, where, world);
  if (all === undefined) return end(thread, { kind: "lost", why: "what it translates to is not known" });
  return all.flatMap(({ state, effect, share }) =>
    end(
      {
        ...thread,
        state: { ...state, probability: state.probability * share },
        effects: [...thread.effects, effect],
        ...(all.length > 1 && { choice: `1 of ${all.length}` }),
      },
      { kind: "accept" },
    ),
  );
}

/** All values that the kernel may draw, each on a branch of its own. */
function choose(
  thread: Thread,
  { dreg, modulus, offset = 0 }: { readonly dreg: Register; readonly modulus: number; readonly offset?: number },
  world: World,
): readonly Next[] {
  if (modulus > mostBranches || modulus < 1) {
    return end(thread, { kind: "lost", why: `${modulus} possibilities are too many to follow` });
  }
  if (!world.spend(modulus)) return end(thread, { kind: "lost", why: "the choices are too many to follow" });
  const { state } = thread;
  return Array.from({ length: modulus }, (_, i) => {
    const registers = modulus === 1 ? thread.registers : thread.registers.copy();
    registers.put(dreg, knownBytes(hostU32Bytes(offset + i)), "a random number");
    const branch = { ...thread, registers };
    if (modulus === 1) return { kind: "go", thread: branch } as const;
    // One object for all branches that change nothing, so that they are found equal fast.
    return { kind: "go", thread: { ...branch, state: shared(state, modulus), choice: `1 of ${modulus}` } } as const;
  });
}

const sharedStates = new WeakMap<State, Map<number, State>>();

function shared(state: State, parts: number): State {
  const map = sharedStates.get(state) ?? new Map<number, State>();
  sharedStates.set(state, map);
  const known = map.get(parts) ?? { ...state, probability: state.probability / parts };
  map.set(parts, known);
  return known;
}

function lookup(
  expression: Expression & { readonly kind: "lookup" },
  thread: Thread,
  rule: Rule,
  where: Where,
  world: World,
): readonly Next[] {
  const { registers } = thread;
  const { set: name, sreg, dreg, inverted } = expression;
  const index = world.set(rule, name);
  if (index === undefined) return end(thread, { kind: "lost", why: `there is no set ${name}` });
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
      : take(found.element, thread, expression, rule, where, world);
  if (inverted || dreg === undefined) {
    const text = inverted ? `not: ${what()}` : what();
    return depends(thread, text);
  }
  // A map with a key that is not known: every distinct value may come of it.
  const distinct = new Map(
    found.candidates.map((element) => [JSON.stringify([element.verdict, element.data && [...element.data]]), element]),
  );
  if (distinct.size > mostVerdicts) return end(thread, { kind: "lost", why: `what ${label} has for it is not known` });
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
      return take(element, branch, expression, rule, where, world);
    }),
    ...miss(none, `not: ${what()}`),
  ];
}

/** What an element that was found does: its own expressions, then its value. */
function take(
  element: Element,
  thread: Thread,
  { dreg, set }: Expression & { readonly kind: "lookup" },
  rule: Rule,
  where: Where,
  world: World,
): readonly Next[] {
  const said = element.comment === undefined ? [] : [`finds "${element.comment}" in ${set}`];
  let threads: readonly Next[] = go({ ...thread, effects: [...thread.effects, ...said] });
  for (const expression of element.expressions ?? []) {
    threads = threads.flatMap((each) =>
      each.kind === "go" ? evaluate(expression, each.thread, rule, where, world) : [each],
    );
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

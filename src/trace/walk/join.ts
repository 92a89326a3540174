/** Ways of a packet that became equal are joined: pure. */
import { packetKey } from "./packet.ts";
import type { State } from "./state.ts";

/** Text that is equal for states from which everything goes on alike. */
export function stateKey(state: State): string {
  const { packet, connection, zones, input, port, way, balanced, proxy, touched, traced } = state;
  const { original, ...rest } = connection ?? {};
  const settled = original === undefined ? null : [packetKey(original), rest];
  const { place, frame, tracked, routers, inner, widest, narrow, balancedFlows } = state;
  return JSON.stringify([
    packetKey(packet),
    settled,
    [zones, input, port, way, balanced, proxy, touched, traced],
    [place, frame, tracked, balancedFlows, routers, widest, narrow, inner && [inner.tunnel, stateKey(inner.state)]],
  ]);
}

/**
 * Joins states that are equal but for how they came about. The likeliest one's steps stand for all; what is assumed is
 * what all of them assume.
 */
export function joinStates<T>(
  items: readonly T[],
  stateOf: (item: T) => State,
  put: (item: T, state: State) => T,
  keyOf: (item: T) => string,
): T[] {
  const [first] = items;
  if (first === undefined || items.length < 2 || stateOf(first).apart) return [...items];
  const groups = new Map<string, T>();
  const identical = new Map<State, string>();
  for (const item of items) {
    const state = stateOf(item);
    let key = identical.get(state);
    if (key === undefined) {
      key = stateKey(state);
      identical.set(state, key);
    }
    const whole = `${keyOf(item)} ${key}`;
    const before = groups.get(whole);
    groups.set(whole, before === undefined ? item : put(item, joined(stateOf(before), state)));
  }
  return [...groups.values()];
}

function joined(a: State, b: State): State {
  const [likelier, other] = b.probability > a.probability ? [b, a] : [a, b];
  const assumptions = likelier.assumptions.filter((each) => other.assumptions.includes(each));
  // Branches with different assumptions do not share one probability.
  const same = a.assumptions.length === b.assumptions.length && assumptions.length === a.assumptions.length;
  const probability = same ? a.probability + b.probability : likelier.probability;
  return { ...likelier, assumptions, probability };
}

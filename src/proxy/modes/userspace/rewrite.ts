/** Decisions as the rules need them that lead to the proxy: everything stays but where connections are balanced. */
import type { Address } from "../../../net/address.ts";
import type { Decision, Outcome, Outcomes } from "../../../service/decision.ts";
import type { Pool } from "./balancer.ts";

/** Where the proxy listens for a decision. */
export type Listening = Readonly<Record<Pool, number | undefined>>;

/** The pools of a decision that some front end balances over, and that have endpoints. */
export function usedPools(decision: Decision): readonly Pool[] {
  return (["cluster", "local"] as const).filter(
    (pool) =>
      decision[pool].length > 0 &&
      decision.frontEnds.some(({ outcomes }) =>
        Object.values(outcomes).some((outcome) => outcome.kind === "balance" && outcome.pool === pool),
      ),
  );
}

/**
 * The decision whose only endpoint in each pool is the proxy. Nothing is masqueraded, so that the proxy sees the client,
 * and affinity is the proxy's business.
 */
export function throughProxy(decision: Decision, address: Address, listening: Listening): Decision {
  const only = (pool: Pool) => {
    const port = listening[pool];
    return port === undefined ? [] : [{ address, port, local: false }];
  };
  return {
    ...decision,
    frontEnds: decision.frontEnds.map((frontEnd) => ({ ...frontEnd, outcomes: keepSources(frontEnd.outcomes) })),
    cluster: only("cluster"),
    local: only("local"),
    affinitySeconds: 0,
  };
}

/** There are few outcomes, shared by all decisions. */
const known = new WeakMap<Outcomes, Outcomes>();

function keepSources(outcomes: Outcomes): Outcomes {
  const before = known.get(outcomes);
  if (before !== undefined) return before;
  const { pod, node, other } = outcomes;
  const after = { pod: keepSource(pod), node: keepSource(node), other: keepSource(other) };
  known.set(outcomes, after);
  return after;
}

function keepSource(outcome: Outcome): Outcome {
  return outcome.kind === "balance" ? { ...outcome, masquerade: false } : outcome;
}

/**
 * Who gets a front end that several service ports ask for. The API server gives each cluster IP and node port once, but
 * anyone may write any external IP into a Service, and a cluster IP may be given anew before the deletion of its last
 * owner is seen. A data plane has one answer for each address, protocol and port, so exactly one claimant keeps it: a
 * cluster IP before a load-balancer IP before an external IP, then the smaller key. The rule looks at no history, so
 * every node and every restart comes to the same end.
 */
import type { Decision, DecisionKey, FrontEnd } from "./decision.ts";

/** A front end that several service ports ask for. */
export interface Conflict {
  /** `198.51.100.7/80/TCP`, or `IPv4/30080/TCP` for a node port. */
  readonly frontEnd: string;
  readonly winner: DecisionKey;
  readonly losers: readonly DecisionKey[];
}

const ranks: Readonly<Record<FrontEnd["kind"], number>> = {
  ClusterIP: 0,
  LoadBalancerIP: 1,
  ExternalIP: 2,
  NodePort: 3,
};

/** All claims of all decisions. `decisionOf` finds a decision, whole as policy made it, by the key it claimed with. */
export class Claims {
  readonly #decisionOf: (key: DecisionKey) => Decision | undefined;
  readonly #holders = new Map<string, DecisionKey>();
  /** The claims that have several claimants; the first of them stands in `#holders` too. */
  readonly #contested = new Map<string, Set<DecisionKey>>();

  constructor(decisionOf: (key: DecisionKey) => Decision | undefined) {
    this.#decisionOf = decisionOf;
  }

  /**
   * Moves the claims of `key` from one decision to the next; undefined: none.
   *
   * @returns the keys of others whose standing may have changed by that.
   */
  move(key: DecisionKey, from: Decision | undefined, to: Decision | undefined): readonly DecisionKey[] {
    if (from !== undefined && to !== undefined && sameClaims(from, to)) return [];
    const affected: DecisionKey[] = [];
    if (from !== undefined) for (const claim of claimsOf(from)) affected.push(...this.#release(claim, key));
    if (to !== undefined) for (const claim of claimsOf(to)) affected.push(...this.#claim(claim, key));
    return affected;
  }

  /** The decision with only those front ends that it keeps: itself if all; undefined if none. */
  settle(key: DecisionKey, decision: Decision): Decision | undefined {
    if (this.#contested.size === 0) return decision;
    const frontEnds = decision.frontEnds.filter((frontEnd) => {
      const claimants = this.#contested.get(claimOf(decision, frontEnd));
      return claimants === undefined || this.#winner(claimants, claimOf(decision, frontEnd)) === key;
    });
    if (frontEnds.length === decision.frontEnds.length) return decision;
    return frontEnds.length === 0 ? undefined : { ...decision, frontEnds };
  }

  /** What is contested now, for logs and checks. */
  conflicts(): readonly Conflict[] {
    return [...this.#contested].map(([frontEnd, claimants]) => {
      const winner = this.#winner(claimants, frontEnd);
      return { frontEnd, winner, losers: [...claimants].filter((key) => key !== winner).sort() };
    });
  }

  #claim(claim: string, key: DecisionKey): readonly DecisionKey[] {
    const holder = this.#holders.get(claim);
    if (holder === undefined) {
      this.#holders.set(claim, key);
      return [];
    }
    const claimants = this.#contested.get(claim) ?? new Set([holder]);
    const others = [...claimants];
    this.#contested.set(claim, claimants.add(key));
    return others;
  }

  #release(claim: string, key: DecisionKey): readonly DecisionKey[] {
    const claimants = this.#contested.get(claim);
    if (claimants === undefined) {
      this.#holders.delete(claim);
      return [];
    }
    claimants.delete(key);
    const others = [...claimants];
    this.#holders.set(claim, others[0] ?? key);
    if (others.length === 1) this.#contested.delete(claim);
    return others;
  }

  #winner(claimants: ReadonlySet<DecisionKey>, claim: string): DecisionKey {
    return [...claimants].reduce((best, key) => {
      const difference = this.#rank(key, claim) - this.#rank(best, claim);
      return difference < 0 || (difference === 0 && key < best) ? key : best;
    });
  }

  #rank(key: DecisionKey, claim: string): number {
    const decision = this.#decisionOf(key);
    const frontEnd = decision?.frontEnds.find((candidate) => claimOf(decision, candidate) === claim);
    return frontEnd === undefined ? Number.POSITIVE_INFINITY : ranks[frontEnd.kind];
  }
}

function claimsOf(decision: Decision): readonly string[] {
  return decision.frontEnds.map((frontEnd) => claimOf(decision, frontEnd));
}

function claimOf({ family, service: { protocol } }: Decision, frontEnd: FrontEnd): string {
  return `${frontEnd.kind === "NodePort" ? family : frontEnd.address}/${frontEnd.port}/${protocol}`;
}

function sameClaims(a: Decision, b: Decision): boolean {
  return (
    a.frontEnds.length === b.frontEnds.length &&
    a.frontEnds.every((frontEnd, i) => {
      const other = b.frontEnds[i];
      return (
        other !== undefined &&
        frontEnd.kind === other.kind &&
        frontEnd.port === other.port &&
        (frontEnd.kind === "NodePort" || (other.kind !== "NodePort" && frontEnd.address === other.address))
      );
    })
  );
}

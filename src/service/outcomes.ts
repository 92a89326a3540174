/**
 * The few combinations of outcomes that policy can produce. They are made once and shared by all decisions, so that
 * 30,000 services hold a dozen of them, and comparing two is comparing two pointers.
 */
import type { Outcome, Outcomes } from "./decision.ts";

/** What an outcome depends on beside the service: `detector` is whether pods can be told from others at all. */
export interface MasqueradeRules {
  /** Masquerade everything that goes to a cluster IP (KubeProxyConfiguration.iptables.masqueradeAll). */
  readonly masqueradeAll: boolean;
  /** Whether a local detector is configured for the family. */
  readonly detector: boolean;
}

const reject: Outcome = { kind: "reject" };
const drop: Outcome = { kind: "drop" };
const kept = { cluster: balance("cluster", false), local: balance("local", false) };
const masqueraded = { cluster: balance("cluster", true), local: balance("local", true) };

/** No endpoint anywhere: refuse at once. */
export const rejectAll: Outcomes = { pod: reject, node: reject, other: reject };

/** Endpoints, but none that traffic policy lets this node use. */
export const dropAll: Outcomes = { pod: drop, node: drop, other: drop };

/** External traffic policy Cluster: the way back must lead through this node, wherever the endpoint is. */
export const externalCluster: Outcomes = {
  pod: masqueraded.cluster,
  node: masqueraded.cluster,
  other: masqueraded.cluster,
};

const internal = {
  cluster: internalOutcomes("cluster"),
  local: internalOutcomes("local"),
};

/**
 * Cluster IP with endpoints: balance over `pool`. Masqueraded is everyone (`masqueradeAll`), everyone but pods (they
 * alone can be answered directly), or, where pods cannot be told from others, nobody.
 */
export function clusterIPOutcomes(pool: "cluster" | "local", rules: MasqueradeRules): Outcomes {
  const outcomes = internal[pool];
  return rules.masqueradeAll ? outcomes.everyone : rules.detector ? outcomes.notPods : outcomes.nobody;
}

const externalLocal = {
  withEndpoints: { detector: external(kept.cluster, kept.local), none: external(kept.local, kept.local) },
  without: { detector: external(kept.cluster, drop), none: external(drop, drop) },
};

/**
 * External traffic policy Local. Pods and the node itself are inside the cluster already, so they reach every endpoint,
 * as if an external load balancer had taken them to the right node; all others reach the endpoints of this node only,
 * with their address kept.
 */
export function externalLocalOutcomes(hasLocalEndpoints: boolean, rules: MasqueradeRules): Outcomes {
  const outcomes = hasLocalEndpoints ? externalLocal.withEndpoints : externalLocal.without;
  return rules.detector ? outcomes.detector : outcomes.none;
}

function balance(pool: "cluster" | "local", masquerade: boolean): Outcome {
  return { kind: "balance", pool, masquerade };
}

function internalOutcomes(pool: "cluster" | "local"): Record<"everyone" | "notPods" | "nobody", Outcomes> {
  const plain = kept[pool];
  const changed = masqueraded[pool];
  return {
    everyone: { pod: changed, node: changed, other: changed },
    notPods: { pod: plain, node: changed, other: changed },
    nobody: { pod: plain, node: plain, other: plain },
  };
}

function external(pod: Outcome, other: Outcome): Outcomes {
  return { pod, node: masqueraded.cluster, other };
}

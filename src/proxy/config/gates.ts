/** The feature gates that kube-proxy has, and what they are here. */
import { closestName } from "../../config/problems.ts";

/** How far a feature is. `GA` is locked: it can only be set to what it is. */
export type Stage = "Alpha" | "Beta" | "GA" | "Deprecated";

/** A feature gate. */
export interface FeatureGate {
  readonly stage: Stage;
  readonly default: boolean;
}

/** The gates of Kubernetes 1.37 that concern a service proxy. */
export const featureGates = {
  AllowServiceExternalIPs: { stage: "Deprecated", default: true },
  ComponentFlagz: { stage: "Beta", default: true },
  ComponentStatusz: { stage: "Beta", default: true },
  ContextualLogging: { stage: "Beta", default: true },
  KubeProxyDrainingTerminatingNodes: { stage: "GA", default: true },
  KubeProxyIPVS: { stage: "Deprecated", default: true },
  KubeProxyNFTablesLocalhostNodePorts: { stage: "Alpha", default: false },
  LoadBalancerIPMode: { stage: "GA", default: true },
  LoggingAlphaOptions: { stage: "Alpha", default: false },
  LoggingBetaOptions: { stage: "Beta", default: true },
  MinimizeIPTablesRestore: { stage: "GA", default: true },
  MultiCIDRServiceAllocator: { stage: "GA", default: true },
  NFTablesNetlink: { stage: "Beta", default: true },
  NFTablesProxyMode: { stage: "GA", default: true },
  PreferSameTrafficDistribution: { stage: "GA", default: true },
  ProxyTerminatingEndpoints: { stage: "GA", default: true },
  ServiceTrafficDistribution: { stage: "GA", default: true },
  TopologyAwareHints: { stage: "GA", default: true },
  WinDSR: { stage: "GA", default: true },
  WinOverlay: { stage: "GA", default: true },
} as const satisfies Readonly<Record<string, FeatureGate>>;

/** The name of a gate. */
export type FeatureName = keyof typeof featureGates;

const allOfStage: Readonly<Record<string, Stage>> = { AllAlpha: "Alpha", AllBeta: "Beta" };

/** What is wrong with gates as a configuration sets them; empty: nothing. */
export function gateProblems(set: Readonly<Record<string, boolean>>): readonly string[] {
  const gates: Readonly<Record<string, FeatureGate>> = featureGates;
  return Object.entries(set).flatMap(([name, on]) => {
    if (Object.hasOwn(allOfStage, name)) return [];
    const gate = Object.hasOwn(gates, name) ? gates[name] : undefined;
    if (gate === undefined) {
      const meant = closestName(name, Object.keys(gates));
      return [`unrecognized feature gate: ${name}${meant === undefined ? "" : `, did you mean ${meant}?`}`];
    }
    if (gate.stage !== "GA" || on === gate.default) return [];
    return [`cannot set feature gate ${name} to ${on}, feature is locked to ${gate.default}`];
  });
}

/** Whether a feature is on: set itself, or by `AllAlpha` or `AllBeta`, or by default. */
export function featureEnabled(name: FeatureName, set: Readonly<Record<string, boolean>>): boolean {
  const gate: FeatureGate = featureGates[name];
  const all = Object.entries(allOfStage).find(([, stage]) => stage === gate.stage)?.[0];
  return set[name] ?? (all === undefined ? undefined : set[all]) ?? gate.default;
}

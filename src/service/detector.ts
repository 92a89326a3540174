/** How pods are told from other clients (KubeProxyConfiguration.detectLocalMode). */
import type { Family } from "../net/address.ts";
import { type Prefix, prefixFamily } from "../net/prefix.ts";
import type { LocalDetector } from "./settings.ts";

/** The configured way to tell pods from others. */
export type DetectLocal =
  /** By the ranges that all pods of the cluster have addresses from. */
  | { readonly mode: "ClusterCIDR"; readonly clusterCIDRs: readonly Prefix[] }
  /** By the ranges that the Node object gives to the pods of this node. */
  | { readonly mode: "NodeCIDR" }
  | { readonly mode: "BridgeInterface"; readonly bridge: string }
  | { readonly mode: "InterfaceNamePrefix"; readonly prefix: string };

/**
 * Resolves the detector of one family. Of several ranges of a family the first one counts; a family without a range has
 * no detector, and so nobody counts as a pod there.
 */
export function resolveDetector(detect: DetectLocal, podCIDRs: readonly Prefix[], family: Family): LocalDetector {
  switch (detect.mode) {
    case "ClusterCIDR":
      return byPrefix(detect.clusterCIDRs, family);
    case "NodeCIDR":
      return byPrefix(podCIDRs, family);
    case "BridgeInterface":
      return { kind: "bridge", interface: detect.bridge };
    case "InterfaceNamePrefix":
      return { kind: "interfacePrefix", prefix: detect.prefix };
  }
}

function byPrefix(ranges: readonly Prefix[], family: Family): LocalDetector {
  const range = ranges.find((prefix) => prefixFamily(prefix) === family);
  return range === undefined ? { kind: "none" } : { kind: "prefixes", prefixes: [range] };
}

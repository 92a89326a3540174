/** Nodes and ServiceCIDRs, reduced to what service networking uses. */
import type { Address } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";

/** The node that an agent runs on (`v1.Node`). */
export interface Node {
  readonly kind: "Node";
  readonly name: string;
  readonly uid: string;
  /** Addresses of type InternalIP, then ExternalIP, in the order of `status.addresses`. */
  readonly addresses: readonly Address[];
  readonly podCIDRs: readonly Prefix[];
  /** Label `topology.kubernetes.io/zone`; empty where there is none. */
  readonly zone: string;
  /** True once `metadata.deletionTimestamp` is set. */
  readonly deleting: boolean;
  /** Keys of `spec.taints`. */
  readonly taints: readonly string[];
}

/** A range of cluster IPs (`networking.k8s.io/v1` ServiceCIDR). */
export interface ServiceCIDR {
  readonly kind: "ServiceCIDR";
  readonly name: string;
  readonly cidrs: readonly Prefix[];
}

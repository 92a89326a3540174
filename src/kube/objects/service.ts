/** Services, reduced to what service networking uses (`v1.Service` of the Kubernetes API). */
import type { Address } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Protocol } from "../../net/protocol.ts";

/** A Service. Addresses are of both families; headless and ExternalName Services have no `clusterIPs`. */
export interface Service {
  readonly kind: "Service";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  /** `spec.clusterIPs`, or `spec.clusterIP` where that is missing; empty for headless Services. */
  readonly clusterIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  /** `status.loadBalancer.ingress` entries that have an `ip`; `ipMode` absent means VIP (KEP-1860). */
  readonly loadBalancerIPs: readonly { readonly ip: Address; readonly ipMode: "VIP" | "Proxy" }[];
  /** `spec.loadBalancerSourceRanges`, trimmed; empty means everyone. */
  readonly loadBalancerSourceRanges: readonly Prefix[];
  readonly ports: readonly ServicePort[];
  readonly externalTrafficPolicy: "Cluster" | "Local";
  readonly internalTrafficPolicy: "Cluster" | "Local";
  /** 0 where there is none. */
  readonly healthCheckNodePort: number;
  /** Seconds of ClientIP session affinity, 1 to 86400; 0 without affinity. */
  readonly affinitySeconds: number;
}

/** A port of a Service. */
export interface ServicePort {
  /** Empty for the only port of a Service. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 where there is none. */
  readonly nodePort: number;
}

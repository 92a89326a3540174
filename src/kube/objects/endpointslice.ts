/** EndpointSlices, reduced to what service networking uses (`discovery.k8s.io/v1` of the Kubernetes API). */
import type { Address, Family } from "../../net/address.ts";
import type { Protocol } from "../../net/protocol.ts";

/** A slice of the endpoints of a Service, of one address family. */
export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  /** The Service it belongs to: label `kubernetes.io/service-name`. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** Annotation `endpoints.kubernetes.io/last-change-trigger-time`, milliseconds since the epoch; 0 where there is none. */
  readonly lastChangeTriggerTime: number;
}

/** A port that every endpoint of the slice serves. Ports without a number are left out. */
export interface EndpointPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** An endpoint of a slice: its first address (the API defines no use of the others) and its conditions. */
export interface SliceEndpoint {
  readonly address: Address;
  /** `conditions.ready`; absent means true. */
  readonly ready: boolean;
  /** `conditions.serving`; absent means as `ready`. */
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Empty where unknown. */
  readonly nodeName: string;
  /** `hints.forZones`, names; undefined without hints. */
  readonly zoneHints?: readonly string[];
  /** `hints.forNodes`, names; undefined without hints. */
  readonly nodeHints?: readonly string[];
}

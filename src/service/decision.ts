/**
 * What a data plane has to do, said without saying how: the output of `decide` and the input of every mode.
 * All service policy (topology, traffic policies, terminating endpoints, families, ipMode) is resolved here.
 */
import type { Address, Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";
import type { Protocol } from "../net/protocol.ts";

/** The identity of a service port: what users call it (`shop/web:http`) and its protocol. */
export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** The port's name; empty for the only port of a Service. */
  readonly port: string;
  readonly protocol: Protocol;
}

/** An endpoint: where a balanced connection may end. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  /** True if it runs on this node, or may: its node is unknown. A client that is its own endpoint exists only there. */
  readonly local: boolean;
}

/**
 * The kinds of client that policy tells apart: a pod as the configured local detector knows it, this node itself (a
 * packet from a local address), anyone else. The first that fits counts, so the address of a bridge that lies in the
 * range of the pods is a pod's. Without a detector nobody counts as a pod.
 */
export type ClientKind = "pod" | "node" | "other";

/** What happens to a new connection of one kind of client to one front end. */
export type Outcome =
  /** Balance at random over one of the decision's pools; `masquerade`: the endpoint sees an address of this node. */
  | { readonly kind: "balance"; readonly pool: "cluster" | "local"; readonly masquerade: boolean }
  /** Refuse at once: TCP reset, else ICMP port unreachable. */
  | { readonly kind: "reject" }
  /** Swallow. */
  | { readonly kind: "drop" };

/** An outcome for each kind of client. */
export type Outcomes = Readonly<Record<ClientKind, Outcome>>;

/**
 * A place where clients reach the service port. Among all decisions of a family no two have the same address, port and
 * protocol, nor the same node port and protocol. Where an address of the node has a front end of its own on the number
 * of a node port, the address comes first.
 */
export type FrontEnd =
  | { readonly kind: "ClusterIP"; readonly address: Address; readonly port: number; readonly outcomes: Outcomes }
  | { readonly kind: "ExternalIP"; readonly address: Address; readonly port: number; readonly outcomes: Outcomes }
  | {
      readonly kind: "LoadBalancerIP";
      readonly address: Address;
      readonly port: number;
      readonly outcomes: Outcomes;
      /** Only clients from these prefixes, of whatever kind; everyone else is dropped. Undefined: everyone. */
      readonly sources?: readonly Prefix[];
    }
  /** A port on those addresses of the node that `NodeSettings.nodePortAddresses` says. */
  | { readonly kind: "NodePort"; readonly port: number; readonly outcomes: Outcomes };

/** Everything about one service port in one family. */
export interface Decision {
  readonly service: ServicePortName;
  readonly family: Family;
  readonly frontEnds: readonly FrontEnd[];
  /** The endpoints of outcome pool "cluster", sorted by `address:port` as text, without doubles. */
  readonly cluster: readonly Endpoint[];
  /** The endpoints of outcome pool "local": a subset of this node's endpoints, sorted. Empty where no outcome uses it. */
  readonly local: readonly Endpoint[];
  /** Seconds that a client sticks to its endpoint, over all front ends of the service port; 0: not at all. */
  readonly affinitySeconds: number;
  /** The scheduler that the Service asks for, by IPVS's name: for modes that can schedule in more than one way. */
  readonly scheduler?: string;
  /** The TCP port on which this node answers health checks of the Service's load balancer; absent where it does not. */
  readonly healthCheckNodePort?: number;
}

/** The key of a decision: unique for each service port and family, for use as a `Map` key. */
export type DecisionKey = string;

/** The key of a decision, e.g. `shop/web:http/TCP/IPv4`. */
export function decisionKey(service: ServicePortName, family: Family): DecisionKey {
  return `${formatServicePort(service)}/${service.protocol}/${family}`;
}

/** What changed since decisions were last looked at: by key, undefined for those that are gone. */
export type Changes = ReadonlyMap<DecisionKey, Decision | undefined>;

/** `namespace/name:port`, or `namespace/name` without a port name: as users, comments and upstream's hashes write it. */
export function formatServicePort(service: ServicePortName): string {
  return service.port === ""
    ? `${service.namespace}/${service.name}`
    : `${service.namespace}/${service.name}:${service.port}`;
}

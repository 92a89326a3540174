/** What people call addresses, and what they stand for: from the cluster's objects, else from comments of rules. */
import type { ServicePort } from "../../kube/objects/service.ts";
import { type Address, familyOf } from "../../net/address.ts";
import { prefixContains, prefixFamily } from "../../net/prefix.ts";
import { formatHostPort, protocolFromNumber } from "../../net/protocol.ts";
import type { CheckedPod, CheckedService, ClusterObjects } from "../snapshot/objects.ts";
import type { Cluster } from "../walk/cluster.ts";
import type { Packet } from "../walk/index.ts";
import { formatNamedPort, type NamedFrontEnd, namesInRules, type RuleNames } from "./comments.ts";

/** A Service, seen from the address and port at which it was asked. */
export interface FrontEnd {
  readonly service: CheckedService;
  readonly port: ServicePort;
  readonly kind: "cluster IP" | "node port" | "external IP" | "load balancer's address";
}

/** An endpoint behind a port of a Service. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  readonly node: string;
  /** New connections may be sent there. */
  readonly usable: boolean;
}

/** Names of a cluster. */
export class Names {
  readonly objects: ClusterObjects | undefined;
  readonly #cluster: Cluster;
  readonly #pods = new Map<Address, CheckedPod>();
  readonly #endpoints = new Map<ServicePort, readonly Endpoint[]>();
  #inRules: RuleNames | undefined;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.objects = cluster.objects;
    for (const pod of this.objects?.pods ?? []) {
      if (!pod.hostNetwork) for (const address of pod.addresses) this.#pods.set(address, pod);
    }
  }

  /** The pod of an address. */
  pod(address: Address): CheckedPod | undefined {
    return this.#pods.get(address);
  }

  /** The node of an address, or that whose pods have it. */
  nodeOf(address: Address): string | undefined {
    const node = this.objects?.nodes.find(({ addresses }) => addresses.includes(address));
    return node?.name ?? this.pod(address)?.node;
  }

  /** Whether an address is a pod's, as far as anybody says. */
  isPod(address: Address): boolean {
    if (this.#pods.has(address)) return true;
    const cidrs = this.objects?.nodes.flatMap(({ podCIDRs }) => podCIDRs) ?? [];
    return cidrs.some((cidr) => prefixFamily(cidr) === familyOf(address) && prefixContains(cidr, address));
  }

  /** `pod shop/web-1`, `node1`; undefined for the nameless. */
  of(address: Address): string | undefined {
    const pod = this.pod(address);
    if (pod !== undefined) return `pod ${pod.namespace}/${pod.name}`;
    const node = this.objects?.nodes.find(({ addresses }) => addresses.includes(address));
    if (node !== undefined) return node.name;
    const [owner, second] = this.#cluster.owners(address);
    return owner === undefined || second !== undefined ? undefined : owner.world.place;
  }

  /** `endpoint of shop/web:http`: what rules call whom they lead to; undefined where the API's objects are known. */
  endpointInRules(address: Address, port: number | undefined): string | undefined {
    const named = port === undefined ? undefined : this.#named()?.endpoints.get(formatHostPort(address, port));
    return named === undefined ? undefined : `endpoint of ${formatNamedPort(named)}`;
  }

  /** The Service that a packet asks for, as rules call it; undefined where the API's objects are known. */
  frontEndInRules({ destination, destinationPort, protocol }: Packet): NamedFrontEnd | undefined {
    const isNode = this.#cluster.owners(destination).some(({ world }) => world.role === "node");
    return this.#named()?.frontEnds.find(
      ({ kind, address, port, protocol: name }) =>
        port === destinationPort &&
        name === protocolFromNumber(protocol) &&
        (kind === "node port" ? isNode : address === destination),
    );
  }

  #named(): RuleNames | undefined {
    if (this.objects !== undefined) return undefined;
    this.#inRules ??= namesInRules(this.#cluster.worlds.map(({ snapshot }) => snapshot));
    return this.#inRules;
  }

  /** `10.244.1.3:8080 (pod shop/web-1)`. */
  withName(address: Address, port?: number): string {
    const shown = port === undefined ? address : formatHostPort(address, port);
    const name = this.of(address);
    return name === undefined ? shown : `${shown} (${name})`;
  }

  /** The Service that a packet asks for. */
  frontEnd({ destination, destinationPort, protocol }: Packet): FrontEnd | undefined {
    const name = protocolFromNumber(protocol);
    if (name === undefined || destinationPort === undefined) return undefined;
    // On which other addresses of a node its ports are served is the proxy's configuration.
    const isNode = this.objects?.nodes.some(({ addresses }) => addresses.includes(destination)) === true;
    for (const service of this.objects?.services ?? []) {
      const kind = service.clusterIPs.includes(destination)
        ? "cluster IP"
        : service.externalIPs.includes(destination)
          ? "external IP"
          : service.loadBalancerIPs.some(({ ip }) => ip === destination)
            ? "load balancer's address"
            : undefined;
      const port = service.ports.find(
        (each) => each.protocol === name && (kind === undefined ? each.nodePort : each.port) === destinationPort,
      );
      if (port !== undefined && kind !== undefined) return { service, port, kind };
      if (port !== undefined && port.nodePort > 0 && isNode) return { service, port, kind: "node port" };
    }
    return undefined;
  }

  /** The endpoints behind a port of a Service. */
  endpoints(frontEnd: Pick<FrontEnd, "service" | "port">): readonly Endpoint[] {
    const known = this.#endpoints.get(frontEnd.port);
    if (known !== undefined) return known;
    const found = this.#findEndpoints(frontEnd);
    this.#endpoints.set(frontEnd.port, found);
    return found;
  }

  #findEndpoints({ service, port }: Pick<FrontEnd, "service" | "port">): readonly Endpoint[] {
    const slices = (this.objects?.slices ?? []).filter(
      (slice) => slice.namespace === service.namespace && slice.service === service.name,
    );
    return slices.flatMap(({ ports, endpoints }) =>
      ports
        .filter((each) => each.name === port.name && each.protocol === port.protocol)
        .flatMap((each) =>
          endpoints.map(({ address, nodeName, ready, serving, terminating }) => ({
            address,
            port: each.port,
            node: nodeName,
            usable: ready || (serving && terminating),
          })),
        ),
    );
  }
}

/** `service shop/web`. */
export function titleOf({ service }: Pick<FrontEnd, "service">): string {
  return `service ${service.namespace}/${service.name}`;
}

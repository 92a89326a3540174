/**
 * Service policy: what happens to a connection to each front end of a Service, for each kind of client, as of
 * Kubernetes 1.37. A pure function from API objects to decisions; nothing else in Portolan knows these rules.
 */

import type { EndpointSlice } from "../kube/objects/endpointslice.ts";
import type { Service, ServicePort } from "../kube/objects/service.ts";
import { type Address, type Family, families, familyOf } from "../net/address.ts";
import { hostPrefix, isEveryAddress, type Prefix, prefixContains, prefixFamily } from "../net/prefix.ts";
import type { Decision, Endpoint, FrontEnd, Outcomes } from "./decision.ts";
import { candidatesOf, type Place, type Pools, poolsOf } from "./endpoints.ts";
import {
  clusterIPOutcomes,
  dropAll,
  externalCluster,
  externalLocalOutcomes,
  type MasqueradeRules,
  rejectAll,
} from "./outcomes.ts";

/**
 * Selects the Services and EndpointSlices that are served at all, as a label selector. Others belong to another proxy
 * (KEP-2447), or to none though they have a cluster IP.
 */
export const servedLabels = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";

/** What policy must know of this node and of its configuration. */
export interface PolicyContext extends Place {
  /** The families that this node serves. */
  readonly families: Readonly<Partial<Record<Family, FamilyContext>>>;
  /** Masquerade all traffic to cluster IPs. */
  readonly masqueradeAll: boolean;
  /** Feature gate AllowServiceExternalIPs (KEP-5707). */
  readonly allowExternalIPs: boolean;
}

/** What policy must know for one family. */
export interface FamilyContext {
  /** Whether pods can be told from other clients: the detector of the family is not of kind "none". */
  readonly detector: boolean;
  /** The primary address of this node; undefined where it has none in the family. */
  readonly nodeAddress?: Address;
}

/**
 * Decides a Service: one decision for each of its ports in each family that it and this node have in common, families
 * and ports in their usual order. Headless and ExternalName Services have none.
 *
 * @param slices the EndpointSlices of this Service, of both families, in any order.
 */
export function decide(
  service: Service,
  slices: readonly EndpointSlice[],
  context: PolicyContext,
): readonly Decision[] {
  if (service.type === "ExternalName" || service.clusterIPs.length === 0) return [];
  const ordered = slices.length > 1 ? slices.toSorted((a, b) => (a.name < b.name ? -1 : 1)) : slices;
  const decisions: Decision[] = [];
  for (const family of families) {
    const facts = context.families[family];
    const clusterIP = service.clusterIPs.find((address) => familyOf(address) === family);
    if (facts === undefined || clusterIP === undefined) continue;
    const addresses = addressesOf(service, family, clusterIP, facts, context.allowExternalIPs);
    const rules = { masqueradeAll: context.masqueradeAll, detector: facts.detector };
    for (const port of service.ports) {
      decisions.push(decidePort(service, port, family, addresses, ordered, rules, context));
    }
  }
  return decisions;
}

/** The addresses of a Service in one family, each once. */
interface Addresses {
  readonly clusterIP: Address;
  readonly loadBalancerIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  /** Who may use the load-balancer addresses; undefined: everyone. */
  readonly sources: readonly Prefix[] | undefined;
}

function decidePort(
  service: Service,
  port: ServicePort,
  family: Family,
  addresses: Addresses,
  slices: readonly EndpointSlice[],
  rules: MasqueradeRules,
  context: PolicyContext,
): Decision {
  const external = port.nodePort !== 0 || addresses.loadBalancerIPs.length > 0 || addresses.externalIPs.length > 0;
  const internalLocal = service.internalTrafficPolicy === "Local";
  const externalLocal = external && isExternalLocal(service);
  const uses = { cluster: !internalLocal || external, local: internalLocal || externalLocal };
  const pools = poolsOf(candidatesOf(port, family, slices, context.nodeName), uses, context);
  const inside = internalOutcomes(internalLocal, pools, rules);
  const outside = externalOutcomes(externalLocal, pools, rules);
  const healthCheck = healthCheckPort(service);
  return {
    service: { namespace: service.namespace, name: service.name, port: port.name, protocol: port.protocol },
    family,
    frontEnds: frontEndsOf(port, addresses, inside, outside),
    cluster: pools.cluster,
    local: sameEndpoints(pools.cluster, pools.local) ? pools.cluster : pools.local,
    affinitySeconds: service.affinitySeconds,
    ...(service.scheduler !== undefined && { scheduler: service.scheduler }),
    ...(healthCheck !== 0 && { healthCheckNodePort: healthCheck }),
  };
}

function internalOutcomes(local: boolean, pools: Pools, rules: MasqueradeRules): Outcomes {
  if (!pools.any) return rejectAll;
  if (!local) return clusterIPOutcomes("cluster", rules);
  return pools.local.length > 0 ? clusterIPOutcomes("local", rules) : dropAll;
}

function externalOutcomes(local: boolean, pools: Pools, rules: MasqueradeRules): Outcomes {
  if (!pools.any) return rejectAll;
  return local ? externalLocalOutcomes(pools.local.length > 0, rules) : externalCluster;
}

function frontEndsOf(port: ServicePort, addresses: Addresses, inside: Outcomes, outside: Outcomes): FrontEnd[] {
  const at = port.port;
  const frontEnds: FrontEnd[] = [{ kind: "ClusterIP", address: addresses.clusterIP, port: at, outcomes: inside }];
  const { sources } = addresses;
  for (const address of addresses.loadBalancerIPs) {
    const frontEnd = { kind: "LoadBalancerIP", address, port: at, outcomes: outside } as const;
    frontEnds.push(sources === undefined ? frontEnd : { ...frontEnd, sources });
  }
  for (const address of addresses.externalIPs) {
    frontEnds.push({ kind: "ExternalIP", address, port: at, outcomes: outside });
  }
  if (port.nodePort !== 0) frontEnds.push({ kind: "NodePort", port: port.nodePort, outcomes: outside });
  return frontEnds;
}

/**
 * The addresses of the family. One that has several roles keeps the one with the most to say: cluster IP, then
 * load balancer (it may be closed to some), then external.
 */
function addressesOf(
  service: Service,
  family: Family,
  clusterIP: Address,
  facts: FamilyContext,
  allowExternalIPs: boolean,
): Addresses {
  const taken = new Set([clusterIP]);
  const claim = (candidates: readonly Address[]) =>
    candidates.length === 0
      ? candidates
      : candidates
          .filter((address) => familyOf(address) === family && !taken.has(address) && taken.add(address))
          .sort();
  const vips = service.loadBalancerIPs.filter(({ ipMode }) => ipMode === "VIP").map(({ ip }) => ip);
  const loadBalancerIPs = claim(vips);
  const externalIPs = allowExternalIPs ? claim(service.externalIPs) : [];
  const sources = sourcesOf(service.loadBalancerSourceRanges, family, loadBalancerIPs, facts.nodeAddress);
  return { clusterIP, loadBalancerIPs, externalIPs, sources };
}

/**
 * Who may use the load-balancer addresses. Where the node itself may, so may the load-balancer addresses: they are often
 * local addresses too, and then the node's own connections to them come from them. Ranges of the other family alone
 * restrict nobody.
 */
function sourcesOf(
  ranges: readonly Prefix[],
  family: Family,
  loadBalancerIPs: readonly Address[],
  nodeAddress: Address | undefined,
): readonly Prefix[] | undefined {
  if (ranges.length === 0 || loadBalancerIPs.length === 0) return undefined;
  const own = ranges.filter((range) => prefixFamily(range) === family);
  if (own.length === 0 || own.some(isEveryAddress)) return undefined;
  const nodeMay = nodeAddress !== undefined && own.some((range) => prefixContains(range, nodeAddress));
  return [...new Set(nodeMay ? [...own, ...loadBalancerIPs.map(hostPrefix)] : own)].sort();
}

/**
 * Whether external traffic stays on the node. Only Services that can be reached from outside by their type have an
 * external traffic policy at all.
 */
function isExternalLocal(service: Service): boolean {
  return service.externalTrafficPolicy === "Local" && (service.type !== "ClusterIP" || service.externalIPs.length > 0);
}

/**
 * The port on which this node answers health checks of an external load balancer for a Service; 0 where it does not:
 * only type LoadBalancer with external traffic policy Local has one.
 */
export function healthCheckPort(service: Service): number {
  return service.type === "LoadBalancer" && isExternalLocal(service) ? service.healthCheckNodePort : 0;
}

function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return a.length === b.length && a.every((endpoint, i) => endpoint === b[i]);
}

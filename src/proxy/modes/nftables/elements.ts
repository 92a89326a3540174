/** Translates a placed decision into the elements of sets and maps that make it true. */
import { rangeElements } from "../../../kernel/nftables/index.ts";
import { outermostPrefixes, prefixRange } from "../../../net/prefix.ts";
import type { FrontEnd, Outcome, Outcomes, ServicePortName } from "../../../service/decision.ts";
import { formatServicePort } from "../../../service/decision.ts";
import type { FamilySettings } from "../../../service/settings.ts";
import type { Placement, Pool } from "./pools.ts";
import { affinityPools, encode, type SetName, toText } from "./sets.ts";
import { flags, poolKey, rememberedEndpoint, sizeClass, verdicts } from "./word.ts";

/** An element of a set or map. Keys and data are byte strings as `sets.ts` defines them. */
export interface Element {
  readonly set: SetName;
  readonly key: string;
  /** The last key of a range, in sets of ranges with concatenated keys. */
  readonly end?: string;
  /** In sets of ranges with simple keys: this is the first key behind a range. */
  readonly behind?: true;
  readonly data?: string;
  /** Shown by `nft list ruleset`; not part of what makes elements equal. */
  readonly comment?: string;
}

/**
 * All elements of a placed decision. Those of `hairpin` and `cluster-ips` may stand in other decisions too; all others
 * are its own.
 */
export function elementsOf(placement: Placement): readonly Element[] {
  const { decision } = placement;
  const elements: Element[] = [];
  for (const frontEnd of decision.frontEnds) addFrontEnd(elements, frontEnd, placement);
  for (const pool of [placement.cluster, placement.local]) {
    if (pool !== undefined) addPool(elements, pool, decision.affinitySeconds);
  }
  return elements;
}

function addFrontEnd(elements: Element[], frontEnd: FrontEnd, placement: Placement): void {
  const { service } = placement.decision;
  const at = encode.protocol(service.protocol) + encode.port(frontEnd.port);
  const comment = commentOf(service);
  if (frontEnd.kind === "NodePort") {
    addWords(elements, "node-ports", at, wordsOf(frontEnd.outcomes, placement, 0), comment);
    return;
  }
  const address = encode.address(frontEnd.address);
  if (frontEnd.kind === "ClusterIP") elements.push({ set: "cluster-ips", key: address });
  const sources = frontEnd.kind === "LoadBalancerIP" ? frontEnd.sources : undefined;
  for (const prefix of outermostPrefixes(sources ?? [])) {
    const { first, last } = encode.range(prefix);
    elements.push({ set: "allowed-sources", key: address + at + first, end: address + at + last });
  }
  const words = wordsOf(frontEnd.outcomes, placement, sources === undefined ? 0 : flags.checkSources);
  addWords(elements, "front-ends", address + at, words, comment);
}

/** A word for everyone, and words for the kinds of client that have another. */
interface Words {
  readonly everyone: number;
  readonly pod?: number;
  readonly node?: number;
}

function addWords(
  elements: Element[],
  set: "front-ends" | "node-ports",
  key: string,
  { everyone, pod, node }: Words,
  comment: string,
): void {
  elements.push({ set, key, data: encode.number(everyone), comment });
  if (pod !== undefined) elements.push({ set: `${set}-from-pods`, key, data: encode.number(pod), comment });
  if (node !== undefined) elements.push({ set: `${set}-from-node`, key, data: encode.number(node), comment });
}

function wordsOf({ pod, node, other }: Outcomes, placement: Placement, extra: number): Words {
  const masquerade =
    (masquerades(pod) ? flags.pod : 0) | (masquerades(node) ? flags.node : 0) | (masquerades(other) ? flags.other : 0);
  const word = (outcome: Outcome) => (target(outcome, placement) | masquerade) >>> 0;
  const everyone = word(other);
  const forPod = word(pod);
  const forNode = word(node);
  const perClient = forPod !== everyone || forNode !== everyone ? flags.perClient : 0;
  return {
    everyone: (everyone | extra | perClient) >>> 0,
    ...(forPod !== everyone && { pod: forPod }),
    ...(forNode !== everyone && { node: forNode }),
  };
}

function masquerades(outcome: Outcome): boolean {
  return outcome.kind === "balance" && outcome.masquerade;
}

/** The pool and the verdict of an outcome. */
function target(outcome: Outcome, { decision, cluster, local }: Placement): number {
  if (outcome.kind === "reject") return verdicts.reject;
  if (outcome.kind === "drop") return verdicts.drop;
  const pool = outcome.pool === "cluster" ? cluster : local;
  if (pool === undefined) throw new Error(`${formatServicePort(decision.service)} balances over an empty pool`);
  return poolKey(pool.number) | (decision.affinitySeconds > 0 ? verdicts.affinity : sizeClass(pool.slots.length));
}

function addPool(elements: Element[], { number, slots, members }: Pool, affinitySeconds: number): void {
  const pool = encode.number(poolKey(number));
  if (affinitySeconds > 0) {
    elements.push({ set: affinityPools(affinitySeconds), key: pool });
    elements.push({ set: "affinity-sizes", key: pool, data: encode.number(poolKey(number) | sizeClass(slots.length)) });
  }
  for (const [slot, endpoint] of slots.entries()) {
    const place = pool + encode.number(slot);
    const address = encode.address(endpoint.address);
    const data = address + encode.port(endpoint.port);
    if (endpoint.local) elements.push({ set: "hairpin", key: address + address });
    if (affinitySeconds === 0) {
      elements.push({ set: "endpoints", key: place, data });
      continue;
    }
    const remembered = encode.number(rememberedEndpoint(number, members[slot] ?? 0));
    elements.push({ set: "affinity-slots", key: place, data: remembered });
    elements.push({ set: "affinity-endpoints", key: remembered, data });
  }
}

/** The comment of a front end: its service port, cut to what the kernel takes (128 bytes with the terminating zero). */
function commentOf(service: ServicePortName): string {
  return formatServicePort(service).slice(0, 127);
}

/** The elements that settings ask for, whatever the services. */
export function elementsOfSettings({ nodePortAddresses, serviceCIDRs }: FamilySettings): readonly Element[] {
  const elements: Element[] = [];
  for (const address of nodePortAddresses.kind === "addresses" ? nodePortAddresses.addresses : []) {
    elements.push({ set: "node-port-addresses", key: encode.address(address) });
  }
  for (const prefix of outermostPrefixes(serviceCIDRs)) {
    const { first, last } = prefixRange(prefix);
    for (const { key, intervalEnd } of rangeElements(first, last)) {
      elements.push({ set: "service-cidrs", key: toText(key), ...(intervalEnd && { behind: true }) });
    }
  }
  return elements;
}

/** What tells an element from all others of the table. */
export function identityOf({ set, key, behind }: Element): string {
  return behind ? `${set} ${key} behind` : `${set} ${key}`;
}

/** True if an element may be wanted by several decisions at once. */
export function isShared(set: SetName): boolean {
  return set === "hairpin" || set === "cluster-ips";
}

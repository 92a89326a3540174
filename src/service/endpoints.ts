/** Which endpoints a service port may use on this node: topology, traffic policies, terminating endpoints, doubles. */

import type { EndpointSlice, SliceEndpoint } from "../kube/objects/endpointslice.ts";
import type { ServicePort } from "../kube/objects/service.ts";
import { type Address, type Family, familyOf } from "../net/address.ts";
import { formatHostPort } from "../net/protocol.ts";
import type { Endpoint } from "./decision.ts";

/** Where this node is. */
export interface Place {
  readonly nodeName: string;
  /** Empty where the node has no zone. */
  readonly zone: string;
}

/** An endpoint of a service port, usable or not. */
export interface Candidate {
  readonly endpoint: Endpoint;
  /** `address:port`: what candidates are sorted by, and told apart. */
  readonly text: string;
  readonly source: SliceEndpoint;
  /** On this node, for certain: what traffic policy Local asks for. */
  readonly local: boolean;
}

/** The endpoints that a service port may use on this node. */
export interface Pools {
  readonly cluster: readonly Endpoint[];
  readonly local: readonly Endpoint[];
  /** Whether there is a usable endpoint anywhere in the cluster. */
  readonly any: boolean;
}

const none: readonly Endpoint[] = [];

/**
 * The endpoints that `slices` give to a service port in one family, sorted by `address:port`. A port finds its endpoints
 * by name and protocol. An endpoint that several slices name counts once: the most usable mention wins, a local one
 * above all others.
 */
export function candidatesOf(
  port: Pick<ServicePort, "name" | "protocol">,
  family: Family,
  slices: readonly EndpointSlice[],
  nodeName: string,
): readonly Candidate[] {
  const found: Candidate[] = [];
  let sorted = true;
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const target of slice.ports) {
      if (target.name !== port.name || target.protocol !== port.protocol) continue;
      for (const source of slice.endpoints) {
        if (familyOf(source.address) !== family) continue;
        const text = formatHostPort(source.address, target.port);
        const last = found.at(-1);
        if (last !== undefined && last.text >= text) sorted = false;
        const local = nodeName !== "" && source.nodeName === nodeName;
        const endpoint = { address: source.address, port: target.port, local: local || source.nodeName === "" };
        found.push({ endpoint, text, source, local });
      }
    }
  }
  return sorted ? found : withoutDoubles(found.sort(compareCandidates));
}

/**
 * Sorts candidates into the pools of the two traffic policies. `uses` says which policies the service port uses at all;
 * the pool of a policy that it does not use is empty.
 */
export function poolsOf(
  candidates: readonly Candidate[],
  uses: { readonly cluster: boolean; readonly local: boolean },
  place: Place,
): Pools {
  let any = false;
  for (const candidate of candidates) any ||= isReady(candidate) || isLastResort(candidate);
  if (!any) return { cluster: none, local: none, any };
  const cluster = uses.cluster ? firstOf(candidates, readyHere(candidates, place), isLastResort) : none;
  const local = uses.local ? firstOf(candidates, isLocalReady, isLocalLastResort) : none;
  return { cluster, local, any };
}

/** How many addresses of this node are ready, over all ports: what a health check of the service reports. */
export function countLocalReady(slices: readonly EndpointSlice[], family: Family, nodeName: string): number {
  let addresses: Set<Address> | undefined;
  for (const slice of slices) {
    if (slice.family !== family || slice.ports.length === 0 || nodeName === "") continue;
    for (const { address, nodeName: node, ready } of slice.endpoints) {
      if (ready && node === nodeName && familyOf(address) === family) {
        addresses ??= new Set();
        addresses.add(address);
      }
    }
  }
  return addresses?.size ?? 0;
}

/** Those that meet the first condition; if none does, those that meet the second. */
function firstOf(
  candidates: readonly Candidate[],
  first: (candidate: Candidate) => boolean,
  second: (candidate: Candidate) => boolean,
): readonly Endpoint[] {
  const chosen = endpointsWhere(candidates, first);
  return chosen.length > 0 ? chosen : endpointsWhere(candidates, second);
}

function endpointsWhere(
  candidates: readonly Candidate[],
  condition: (candidate: Candidate) => boolean,
): readonly Endpoint[] {
  const chosen: Endpoint[] = [];
  for (const candidate of candidates) if (condition(candidate)) chosen.push(candidate.endpoint);
  return chosen.length > 0 ? chosen : none;
}

/**
 * Ready and, where hints are in force, hinted for this place. Hints for nodes come first, then hints for zones; either
 * is in force only if every ready endpoint has some and at least one is for this place, so that this never empties the
 * pool (KEP-2433, KEP-3015).
 */
function readyHere(candidates: readonly Candidate[], place: Place): (candidate: Candidate) => boolean {
  if (hintsInForce(candidates, nodeHints, place.nodeName)) {
    return (candidate) => isReady(candidate) && nodeHints(candidate.source).includes(place.nodeName);
  }
  if (hintsInForce(candidates, zoneHints, place.zone)) {
    return (candidate) => isReady(candidate) && zoneHints(candidate.source).includes(place.zone);
  }
  return isReady;
}

function hintsInForce(
  candidates: readonly Candidate[],
  hints: (source: SliceEndpoint) => readonly string[],
  here: string,
): boolean {
  let some = false;
  for (const candidate of candidates) {
    if (!isReady(candidate)) continue;
    const names = hints(candidate.source);
    if (names.length === 0) return false;
    some ||= names.includes(here);
  }
  return some;
}

const noHints: readonly string[] = [];

function nodeHints(source: SliceEndpoint): readonly string[] {
  return source.nodeHints ?? noHints;
}

function zoneHints(source: SliceEndpoint): readonly string[] {
  return source.zoneHints ?? noHints;
}

function isReady({ source }: Candidate): boolean {
  return source.ready;
}

/** Going away but still serving: used when nothing is ready (KEP-1669). */
function isLastResort({ source }: Candidate): boolean {
  return source.serving && source.terminating;
}

function isLocalReady(candidate: Candidate): boolean {
  return candidate.local && isReady(candidate);
}

function isLocalLastResort(candidate: Candidate): boolean {
  return candidate.local && isLastResort(candidate);
}

function compareCandidates(a: Candidate, b: Candidate): number {
  if (a.text !== b.text) return a.text < b.text ? -1 : 1;
  return usability(b) - usability(a);
}

function usability(candidate: Candidate): number {
  return (candidate.local ? 4 : 0) + (isReady(candidate) ? 2 : 0) + (isLastResort(candidate) ? 1 : 0);
}

function withoutDoubles(sorted: readonly Candidate[]): readonly Candidate[] {
  return sorted.filter((candidate, i) => candidate.text !== sorted[i - 1]?.text);
}

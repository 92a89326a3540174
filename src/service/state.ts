/**
 * What is known of all Services, and what follows from it: objects in, changed decisions out. The work for a change is
 * proportional to the Services that it touches, whatever the number of those that stand still.
 */

import type { EndpointSlice } from "../kube/objects/endpointslice.ts";
import { objectKey } from "../kube/objects/resource.ts";
import type { Service } from "../kube/objects/service.ts";
import type { ObjectEvent } from "../kube/source.ts";
import type { Family } from "../net/address.ts";
import { Claims, type Conflict } from "./claims.ts";
import type { UdpService } from "./conntrack.ts";
import { type Changes, type Decision, type DecisionKey, decisionKey } from "./decision.ts";
import { candidatesOf, countLocalReady } from "./endpoints.ts";
import { equal } from "./equal.ts";
import { decide, healthCheckPort, type PolicyContext } from "./policy.ts";

/** What a health-check node port has to answer for a Service. */
export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Ready endpoints on this node, each address once; of a Service of two families those of the family with more. */
  readonly localEndpoints: number;
}

/** What changed between two calls of {@link ServiceState.takeChanges}. */
export interface StateChanges {
  /** Decisions that differ from the last ones taken; those that are gone stand first. */
  readonly decisions: Changes;
  /** The UDP service ports among the Services touched: their conntrack entries may have become stale. */
  readonly udp: ReadonlySet<DecisionKey>;
  /** Health checks that differ, by `namespace/name`; undefined for those that are gone. */
  readonly healthChecks: ReadonlyMap<string, HealthCheck | undefined>;
  /** Trigger times of the EndpointSlices that are in these changes: since when each of them was to be done. */
  readonly triggers: readonly Trigger[];
}

/** When something happened that led to a change of an EndpointSlice. */
export interface Trigger {
  readonly family: Family;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/** How many service ports a traffic policy of Local leaves without endpoints on this node though there are others. */
export interface NoLocalEndpoints {
  readonly internal: number;
  readonly external: number;
}

/** Numbers of changes of objects. */
export interface ChangeCounts {
  readonly services: number;
  readonly endpointSlices: number;
}

/** A Service with its EndpointSlices; either may be missing, and come later. */
interface Entry {
  readonly key: string;
  service: Service | undefined;
  slices: EndpointSlice[];
  /** The decisions that the Service has now. */
  decisions: readonly DecisionKey[];
}

/** All Services and EndpointSlices known, their decisions, and what is still to be taken from them. */
export class ServiceState {
  #context: PolicyContext;
  readonly #ignoreTriggersBefore: number;
  readonly #entries = new Map<string, Entry>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #decisions = new Map<DecisionKey, Decision>();
  /** Decisions that lost front ends to others, as policy made them. */
  readonly #unsettled = new Map<DecisionKey, Decision>();
  readonly #claims = new Claims((key) => this.#unsettled.get(key) ?? this.#decisions.get(key));
  readonly #healthChecks = new Map<string, HealthCheck>();
  readonly #noLocal: Record<Family, { internal: number; external: number }> = {
    IPv4: { internal: 0, external: 0 },
    IPv6: { internal: 0, external: 0 },
  };
  readonly #dirty = new Set<Entry>();
  readonly #changedServices = new Set<string>();
  readonly #triggers = new Map<string, Trigger[]>();
  #changedSlices = 0;
  #seen = { services: 0, endpointSlices: 0 };

  /**
   * @param ignoreTriggersBefore trigger times before this one (milliseconds since the epoch) are not reported: what
   * happened before the agent started says nothing about how long it takes.
   */
  constructor(context: PolicyContext, ignoreTriggersBefore = 0) {
    this.#context = context;
    this.#ignoreTriggersBefore = ignoreTriggersBefore;
  }

  /** The decisions as last taken, all of them. */
  get decisions(): ReadonlyMap<DecisionKey, Decision> {
    return this.#decisions;
  }

  /** The health checks as last taken, by `namespace/name`. */
  get healthChecks(): ReadonlyMap<string, HealthCheck> {
    return this.#healthChecks;
  }

  /** Of the decisions as last taken. */
  get noLocalEndpoints(): Readonly<Record<Family, NoLocalEndpoints>> {
    return this.#noLocal;
  }

  /** Front ends that several service ports ask for, as last taken. */
  get conflicts(): readonly Conflict[] {
    return this.#claims.conflicts();
  }

  /** How many changes wait to be taken: Services that differ, and changes of EndpointSlices. */
  get pending(): ChangeCounts {
    return { services: this.#changedServices.size, endpointSlices: this.#changedSlices };
  }

  /** How many changes of objects came in so far, whether that changed anything or not. */
  get seen(): ChangeCounts {
    return this.#seen;
  }

  /** Takes in a change of an object. */
  apply({ type, object }: ObjectEvent<Service | EndpointSlice>): void {
    if (object.kind === "Service") {
      if (type === "upsert") this.#putService(object);
      else this.#removeService(objectKey(object));
    } else if (type === "upsert") {
      this.#putSlice(object);
    } else {
      this.#removeSlice(objectKey(object));
    }
  }

  /** Replaces the context. If it differs, everything is decided anew. */
  setContext(context: PolicyContext): void {
    if (equal(context, this.#context)) return;
    this.#context = context;
    for (const entry of this.#entries.values()) this.#dirty.add(entry);
  }

  /** Decides what is touched, makes it the current state and returns how that differs from the state before. */
  takeChanges(): StateChanges {
    const decisions = new Map<DecisionKey, Decision | undefined>();
    const healthChecks = new Map<string, HealthCheck | undefined>();
    const touched = new Set<DecisionKey>();
    const unsettled = new Set<DecisionKey>();
    for (const entry of this.#dirty) {
      this.#decideEntry(entry, decisions, unsettled);
      for (const key of entry.decisions) touched.add(key);
      this.#checkHealth(entry, healthChecks);
      if (entry.service === undefined && entry.slices.length === 0) this.#entries.delete(entry.key);
    }
    for (const key of unsettled) {
      this.#settle(key, decisions);
      touched.add(key);
    }
    const triggers = [...this.#triggers.values()].flat();
    this.#dirty.clear();
    this.#changedServices.clear();
    this.#triggers.clear();
    this.#changedSlices = 0;
    const udp = new Set<DecisionKey>();
    for (const key of touched) if (this.#decisions.get(key)?.service.protocol === "UDP") udp.add(key);
    return { decisions, udp, healthChecks, triggers };
  }

  /** The UDP service ports of these keys, or all there are, as the search for stale conntrack entries needs them. */
  udpServices(keys: Iterable<DecisionKey> = this.#decisions.keys()): readonly UdpService[] {
    const services: UdpService[] = [];
    for (const key of keys) {
      const decision = this.#decisions.get(key);
      if (decision?.service.protocol !== "UDP") continue;
      const { namespace, name, port, protocol } = decision.service;
      const slices = this.#entries.get(`${namespace}/${name}`)?.slices ?? [];
      const candidates = candidatesOf({ name: port, protocol }, decision.family, slices, this.#context.nodeName);
      const serving = new Set(candidates.filter(({ source }) => source.serving).map(({ source }) => source.address));
      services.push({ family: decision.family, frontEnds: decision.frontEnds, serving });
    }
    return services;
  }

  #putService(service: Service): void {
    this.#seen.services++;
    const entry = this.#entry(objectKey(service));
    if (entry.service !== undefined && equal(entry.service, service)) return;
    entry.service = service;
    this.#dirty.add(entry);
    this.#changedServices.add(entry.key);
  }

  #removeService(key: string): void {
    this.#seen.services++;
    const entry = this.#entries.get(key);
    if (entry?.service === undefined) return;
    entry.service = undefined;
    this.#dirty.add(entry);
    this.#changedServices.add(key);
  }

  #putSlice(slice: EndpointSlice): void {
    this.#seen.endpointSlices++;
    const key = objectKey(slice);
    const old = this.#slices.get(key);
    if (old !== undefined && sameContent(old, slice)) return;
    if (old !== undefined) this.#takeOut(old);
    this.#slices.set(key, slice);
    const entry = this.#entry(`${slice.namespace}/${slice.service}`);
    const at = entry.slices.findIndex(({ name }) => name > slice.name);
    entry.slices.splice(at < 0 ? entry.slices.length : at, 0, slice);
    this.#dirty.add(entry);
    this.#changedSlices++;
    if (slice.lastChangeTriggerTime > this.#ignoreTriggersBefore) {
      const triggers = this.#triggers.get(entry.key) ?? [];
      triggers.push({ family: slice.family, time: slice.lastChangeTriggerTime });
      this.#triggers.set(entry.key, triggers);
    }
  }

  #removeSlice(key: string): void {
    this.#seen.endpointSlices++;
    const slice = this.#slices.get(key);
    if (slice === undefined) return;
    this.#slices.delete(key);
    const entry = this.#takeOut(slice);
    this.#changedSlices++;
    // The annotation of a slice that goes tells of its last change, not of its end: its Service reports nothing.
    const others = this.#triggers.get(entry.key)?.filter(({ family }) => family !== slice.family);
    if (others !== undefined) this.#triggers.set(entry.key, others);
  }

  #takeOut(slice: EndpointSlice): Entry {
    const entry = this.#entry(`${slice.namespace}/${slice.service}`);
    entry.slices = entry.slices.filter((other) => other !== slice);
    this.#dirty.add(entry);
    return entry;
  }

  #entry(key: string): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { key, service: undefined, slices: [], decisions: [] };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #decideEntry(entry: Entry, changes: Map<DecisionKey, Decision | undefined>, unsettled: Set<DecisionKey>): void {
    const next = entry.service === undefined ? [] : decide(entry.service, entry.slices, this.#context);
    const before = entry.decisions;
    entry.decisions = next.map(({ service, family }) => decisionKey(service, family));
    for (const key of before) {
      if (entry.decisions.includes(key)) continue;
      for (const other of this.#claims.move(key, this.#asDecided(key), undefined)) unsettled.add(other);
      this.#unsettled.delete(key);
      if (this.#replace(key, undefined)) changes.set(key, undefined);
    }
    for (const [i, decision] of next.entries()) {
      const key = entry.decisions[i] ?? "";
      const old = this.#asDecided(key);
      if (old !== undefined && equal(old, decision)) continue;
      this.#unsettled.set(key, decision);
      for (const other of this.#claims.move(key, old, decision)) unsettled.add(other);
      unsettled.add(key);
    }
  }

  /** Gives the front ends of a decision to it, as far as it has a right to them, and notes the change. */
  #settle(key: DecisionKey, changes: Map<DecisionKey, Decision | undefined>): void {
    const decided = this.#asDecided(key);
    if (decided === undefined) return;
    const settled = this.#claims.settle(key, decided);
    if (settled === decided) this.#unsettled.delete(key);
    else this.#unsettled.set(key, decided);
    if (this.#replace(key, settled)) changes.set(key, settled);
  }

  #asDecided(key: DecisionKey): Decision | undefined {
    return this.#unsettled.get(key) ?? this.#decisions.get(key);
  }

  /** Makes a decision the current one; false if it was so already. */
  #replace(key: DecisionKey, decision: Decision | undefined): boolean {
    const old = this.#decisions.get(key);
    if (equal(old, decision)) return false;
    if (old !== undefined) this.#countNoLocal(old, -1);
    if (decision === undefined) {
      this.#decisions.delete(key);
    } else {
      this.#countNoLocal(decision, 1);
      this.#decisions.set(key, decision);
    }
    return true;
  }

  #countNoLocal({ family, frontEnds }: Decision, by: 1 | -1): void {
    const dropped = frontEnds.filter(({ outcomes }) => outcomes.other.kind === "drop");
    if (dropped.some(({ kind }) => kind === "ClusterIP")) this.#noLocal[family].internal += by;
    if (dropped.some(({ kind }) => kind !== "ClusterIP")) this.#noLocal[family].external += by;
  }

  #checkHealth(entry: Entry, changes: Map<string, HealthCheck | undefined>): void {
    const { key, service, slices } = entry;
    const port = service === undefined || entry.decisions.length === 0 ? 0 : healthCheckPort(service);
    const next = service === undefined || port === 0 ? undefined : this.#healthCheck(service, port, slices);
    if (equal(this.#healthChecks.get(key), next)) return;
    changes.set(key, next);
    if (next === undefined) this.#healthChecks.delete(key);
    else this.#healthChecks.set(key, next);
  }

  #healthCheck({ namespace, name }: Service, port: number, slices: readonly EndpointSlice[]): HealthCheck {
    const { nodeName } = this.#context;
    const counts = (["IPv4", "IPv6"] as const).map((family) =>
      this.#context.families[family] === undefined ? 0 : countLocalReady(slices, family, nodeName),
    );
    return { namespace, name, port, localEndpoints: Math.max(...counts) };
  }
}

/** True if two versions of a slice say the same, whenever they were written. */
function sameContent(a: EndpointSlice, b: EndpointSlice): boolean {
  return equal({ ...a, lastChangeTriggerTime: 0 }, { ...b, lastChangeTriggerTime: 0 });
}

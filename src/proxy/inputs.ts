/**
 * Everything that the data plane depends on: Services, EndpointSlices, this Node, ServiceCIDRs, the addresses of this
 * machine. They are watched, and what follows from them (decisions, context, settings) is kept up to date.
 */
import { endpointSlices } from "../kube/objects/endpointslice.ts";
import { type Node, nodes, type ServiceCIDR, serviceCIDRs } from "../kube/objects/node.ts";
import type { Resource } from "../kube/objects/resource.ts";
import { services } from "../kube/objects/service.ts";
import type { ObjectEvent, Source } from "../kube/source.ts";
import type { Address, Family } from "../net/address.ts";
import { equal } from "../service/equal.ts";
import { servedLabels } from "../service/policy.ts";
import { type ProxyOptions, resolve } from "../service/resolve.ts";
import type { NodeSettings } from "../service/settings.ts";
import { ServiceState } from "../service/state.ts";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";

/** The addresses of this machine. */
export interface AddressSource {
  /** All local addresses, loopback included. */
  readonly list: () => readonly Address[];
  /** Calls `onChange` when they have changed, until the signal is aborted. */
  readonly watch: (onChange: () => void, signal: AbortSignal) => void;
}

/** What inputs are made of. */
export interface InputsOptions {
  readonly source: Source;
  readonly options: ProxyOptions;
  readonly nodeName: string;
  /** True where it is worth a warning if there is no Node of that name; default false. */
  readonly expectNode?: boolean;
  /** Goes before the Node's addresses of its family. */
  readonly bindAddress: Address | undefined;
  /** The families that this machine can serve. */
  readonly families: readonly Family[];
  readonly addresses: AddressSource;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What changed: only what is known of Services, or also the settings that all of them depend on. */
export type InputChange = "services" | "settings";

type ServiceEvent = Parameters<ServiceState["apply"]>[0];

/** How long to wait for ServiceCIDRs: an older API server does not have them. */
const serviceCIDRsMs = 1000;

/** The inputs of one proxy. */
export class Inputs {
  readonly state: ServiceState;
  readonly #options: InputsOptions;
  readonly #ranges = new Map<string, ServiceCIDR>();
  #node: Node | undefined;
  #settings: NodeSettings;

  constructor(options: InputsOptions) {
    this.#options = options;
    const { context, settings } = this.#resolve();
    this.#settings = settings;
    this.state = new ServiceState(context, options.clock.now());
  }

  /** What modes need beside decisions. */
  get settings(): NodeSettings {
    return this.#settings;
  }

  /** This Node, if the source has it. */
  get node(): Node | undefined {
    return this.#node;
  }

  /**
   * Begins to watch.
   *
   * @param onChange called after each change that may matter, from when the first lists are complete.
   * @param onNode called with this Node, when it appears and when it changes.
   * @returns when everything is known that is needed to begin.
   * @throws the signal's reason once it is aborted, before or meanwhile.
   */
  async start(
    onChange: (change: InputChange) => void,
    onNode: (node: Node) => void,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const { addresses, clock, log, options, nodeName, expectNode = false } = this.#options;
    let ready = false;
    const change = (what: InputChange) => {
      if (ready) onChange(what);
    };
    const waiting = new Set(["Services", "EndpointSlices", "Node"]);
    if (options.detectLocal.mode === "NodeCIDR") waiting.add("podCIDRs of this node");
    const { promise: complete, resolve: begin } = Promise.withResolvers<void>();
    const arrived = (what: string) => {
      waiting.delete(what);
      if (waiting.size === 0) begin();
    };

    this.#watch(
      services,
      { labels: servedLabels },
      (events) => this.#apply(events, change),
      () => arrived("Services"),
      signal,
    );
    this.#watch(
      endpointSlices,
      { labels: servedLabels },
      (events) => this.#apply(events, change),
      () => arrived("EndpointSlices"),
      signal,
    );
    const takeNode = (events: readonly ObjectEvent<Node>[]) => {
      for (const event of events) {
        // Of a Node that is deleted the last state counts on: the proxy serves as long as it runs.
        this.#node = event.type === "upsert" ? event.object : { ...event.object, deleting: true };
        onNode(this.#node);
      }
      this.#refresh(change);
      if (this.#node !== undefined && this.#node.podCIDRs.length > 0) arrived("podCIDRs of this node");
    };
    this.#watch(nodes, { fields: `metadata.name=${nodeName}` }, takeNode, () => arrived("Node"), signal);
    const { promise: ranges, resolve: haveRanges } = Promise.withResolvers<void>();
    const takeRanges = (events: readonly ObjectEvent<ServiceCIDR>[]) => {
      for (const { type, object } of events) {
        if (type === "upsert") this.#ranges.set(object.name, object);
        else this.#ranges.delete(object.name);
      }
      this.#refresh(change);
    };
    this.#watch(serviceCIDRs, {}, takeRanges, haveRanges, signal);
    addresses.watch(() => this.#refresh(change), signal);

    const tell = new AbortController();
    void (async () => {
      for (let ms = 5000; await clock.sleep(ms, AbortSignal.any([signal, tell.signal])); ms = 30_000) {
        log.info("Waiting for what is needed to begin", { missing: [...waiting] });
      }
    })();
    const aborted = new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
    await Promise.race([complete, aborted]);
    await Promise.race([ranges, aborted, clock.sleep(serviceCIDRsMs, AbortSignal.any([signal, tell.signal]))]);
    tell.abort();
    signal.throwIfAborted();
    if (this.#node === undefined && expectNode) log.warn("The cluster has no Node of this name", { node: nodeName });
    ready = true;
  }

  #watch<T>(
    resource: Resource<T>,
    selection: { readonly labels?: string; readonly fields?: string },
    onEvents: (events: readonly ObjectEvent<T>[]) => void,
    onSynced: () => void,
    signal: AbortSignal,
  ): void {
    this.#options.source.watch({ resource, selection, onEvents, onSynced }, signal);
  }

  #apply(events: readonly ServiceEvent[], change: (what: InputChange) => void): void {
    for (const event of events) this.state.apply(event);
    change("services");
  }

  #refresh(change: (what: InputChange) => void): void {
    const { context, settings } = this.#resolve();
    this.state.setContext(context);
    const same = equal(settings, this.#settings);
    this.#settings = settings;
    change(same ? "services" : "settings");
  }

  #resolve() {
    const { options, nodeName, bindAddress, families, addresses } = this.#options;
    const preferred = bindAddress === undefined ? [] : [bindAddress];
    return resolve(options, {
      name: nodeName,
      zone: this.#node?.zone ?? "",
      families,
      addresses: { node: [...preferred, ...(this.#node?.addresses ?? [])], local: addresses.list() },
      podCIDRs: this.#node?.podCIDRs ?? [],
      serviceCIDRs: [...this.#ranges.values()].flatMap(({ cidrs }) => cidrs),
    });
  }
}

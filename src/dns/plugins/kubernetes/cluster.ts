/** Follows a cluster: fills the directory from the source of objects. */

import type { Resource } from "../../../kube/objects/resource.ts";
import type { ObjectEvent, Selection, Source } from "../../../kube/source.ts";
import type { Clock } from "../../../telemetry/clock.ts";
import type { Histogram } from "../../../telemetry/metrics.ts";
import { Directory } from "./directory.ts";
import { type DnsSlice, dnsNamespaces, dnsPods, dnsServices, dnsSlices } from "./objects.ts";
import type { KubernetesOptions } from "./options.ts";

/** What a {@link Cluster} needs from outside. */
export interface ClusterContext {
  readonly clock: Clock;
  /** Seconds from a change to its being answered, by kind of Service. */
  readonly latency: (kind: string) => Histogram;
}

/** The state of a cluster, kept up to date. */
export class Cluster {
  readonly directory = new Directory();
  readonly #options: KubernetesOptions;
  readonly #context: ClusterContext;
  /** Kinds of objects that were not seen whole yet; undefined before it follows anything. */
  #waiting: number | undefined;
  #synced: () => void = () => {};
  /** Seconds since the epoch of the last change that names could show. */
  serial: number;

  constructor(options: KubernetesOptions, context: ClusterContext) {
    this.#options = options;
    this.#context = context;
    this.serial = Math.floor(context.clock.now() / 1000);
  }

  /** True once every object that existed at the start was seen. */
  get synced(): boolean {
    return this.#waiting === 0;
  }

  /**
   * Begins to follow the cluster.
   *
   * @returns when all objects were seen.
   */
  follow(source: Source, signal: AbortSignal): Promise<void> {
    const { directory } = this;
    const { endpointPodNames, labels, namespaceLabels, namespaces, noEndpoints, pods } = this.#options;
    const scopes: Selection[] = namespaces.size === 0 ? [{}] : [...namespaces].map((namespace) => ({ namespace }));
    const selections = scopes.map((scope) => ({ ...scope, ...(labels !== "" && { labels }) }));
    const done = new Promise<void>((resolve) => {
      this.#synced = resolve;
    });
    const watch = <T>(resource: Resource<T>, selection: Selection, change: (event: ObjectEvent<T>) => void) => {
      this.#waiting = (this.#waiting ?? 0) + 1;
      source.watch(
        {
          resource,
          selection,
          onEvents: (events) => {
            for (const event of events) change(event);
            this.serial = Math.floor(this.#context.clock.now() / 1000);
          },
          onSynced: () => {
            this.#waiting = (this.#waiting ?? 0) - 1;
            if (this.#waiting === 0) this.#synced();
          },
        },
        signal,
      );
    };
    watch(dnsNamespaces, namespaceLabels === "" ? {} : { labels: namespaceLabels }, (event) =>
      directory.changeNamespace(event),
    );
    for (const selection of selections) {
      watch(dnsServices, selection, (event) => directory.changeService(event));
      if (!noEndpoints) watch(dnsSlices(endpointPodNames), selection, (event) => this.#changeSlice(event));
      if (pods === "verified") watch(dnsPods, selection, (event) => directory.changePod(event));
    }
    return done;
  }

  #changeSlice(event: ObjectEvent<DnsSlice>): void {
    this.directory.changeSlice(event);
    const { lastChangeTriggerTime, service, namespace } = event.object;
    if (event.type === "delete" || !this.synced || lastChangeTriggerTime === 0) return;
    if (lastChangeTriggerTime === event.previous?.lastChangeTriggerTime) return;
    const owner = this.directory.service(`${service}.${namespace}`);
    if (owner === undefined || owner.kind === "externalName") return;
    const kind = owner.kind === "clusterIP" ? "cluster_ip" : `headless_with${owner.selector ? "" : "out"}_selector`;
    const seconds = (this.#context.clock.now() - lastChangeTriggerTime) / 1000;
    this.#context.latency(kind).observe(Math.max(0, seconds));
  }
}

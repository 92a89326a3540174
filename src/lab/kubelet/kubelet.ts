/** The agent of a node: runs the pods that the API gives to it, and says how they are. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeClient } from "../../kube/client.ts";
import { ClusterSource } from "../../kube/cluster.ts";
import type { ObjectEvent } from "../../kube/source.ts";
import type { Clock } from "../../telemetry/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { makeMachine, removeMachines } from "../network/machines.ts";
import { apiServiceAddress, podAddress, podHostOf, podHosts } from "../plan/addresses.ts";
import { nodeAddresses, podMachine } from "../plan/machine.ts";
import { namespaceNames } from "../plan/names.ts";
import type { LabSpec, NodeSpec } from "../plan/spec.ts";
import type { ServerHost } from "../pods/host.ts";
import type { Sandbox } from "./actions.ts";
import { fetchData } from "./environment.ts";
import { hostsFile, resolverFile } from "./files.ts";
import { type Pod, pods } from "./pod.ts";
import { PodLife } from "./podlife.ts";
import { Reporter } from "./reporter.ts";

/** What a {@link Kubelet} needs. */
export interface KubeletParts {
  readonly spec: LabSpec;
  readonly node: NodeSpec;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Folder for what its pods have on disk. */
  readonly folder: string;
  /** What serves the containers without a program. */
  readonly servers: ServerHost;
}

/** The pods of one node. */
export class Kubelet {
  readonly #parts: KubeletParts;
  readonly #stop = new AbortController();
  readonly #reporter: Reporter;
  /** By namespace and name, as their places are; a pod of the same name waits until the one before is gone. */
  readonly #lives = new Map<string, { life: PodLife; readonly over: Promise<void> }>();
  /** The host parts of addresses that are taken, by pod. */
  readonly #hosts = new Map<string, number>();
  #lastHost = podHosts.first - 1;

  constructor(parts: KubeletParts) {
    this.#parts = parts;
    const { client, clock, log, node } = parts;
    this.#reporter = new Reporter({ client, clock, log, node: node.name }, this.#stop.signal);
  }

  /** Begins to run pods. @returns when it knows all that were its own before. */
  start(): Promise<void> {
    const { client, clock, log, node } = this.#parts;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timings = { pauses: { first: 50, longest: 2000 } };
    new ClusterSource(client, { clock, log, timings }).watch(
      {
        resource: pods,
        selection: { fields: `spec.nodeName=${node.name}` },
        onEvents: (events) => this.#take(events),
        onSynced: resolve,
      },
      this.#stop.signal,
    );
    return promise;
  }

  /** Ends everything at once, as a power cut does: nobody is told. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const all = [...this.#lives.values()];
    for (const { life } of all) {
      life.silence();
      life.end(0);
    }
    await Promise.race([
      Promise.all(all.map(({ over }) => over)),
      this.#parts.clock.sleep(2000, AbortSignal.timeout(2000)),
    ]);
  }

  #take(events: readonly ObjectEvent<Pod>[]): void {
    // Those that keep their address have it before others take one.
    for (const event of events)
      if (event.type === "upsert" && event.object.address !== "") this.#keepHost(event.object);
    for (const event of events) {
      if (event.type === "delete") this.#lives.get(keyOf(event.object))?.life.end(0);
      else this.#upsert(event.object);
    }
  }

  #upsert(pod: Pod): void {
    const known = this.#lives.get(keyOf(pod));
    if (known?.life.pod.uid === pod.uid) {
      known.life.update(pod);
      if (pod.deletion !== undefined) known.life.end(pod.deletion.graceSeconds * 1000);
      return;
    }
    const over = pod.phase === "Succeeded" || pod.phase === "Failed";
    if (pod.deletion !== undefined) void this.#reporter.gone(pod);
    else if (!over) this.#begin(pod, known?.over);
  }

  #begin(pod: Pod, before: Promise<void> | undefined): void {
    const { clock, log, node, spec } = this.#parts;
    const life = new PodLife(pod, {
      node: node.name,
      hostAddresses: nodeAddresses(spec, node),
      servers: this.#parts.servers,
      clock,
      log,
      fetchData: (placed, container, signal) => fetchData(this.#parts.client, placed, container, signal),
      makeSandbox: (placed) => this.#makeSandbox(placed),
      removeSandbox: (placed, sandbox) => this.#removeSandbox(placed, sandbox),
      report: (report) => this.#reporter.status(report),
      note: (noted, reason, message) => this.#reporter.event(noted, reason, message),
    });
    const run = async () => {
      await before;
      await life.run();
      if (this.#lives.get(keyOf(pod))?.life === life) this.#lives.delete(keyOf(pod));
      if (!this.#stop.signal.aborted) await this.#reporter.gone(pod);
    };
    const running = run().catch((error: unknown) => log.error(error, "A pod was given up", { pod: pod.name }));
    this.#lives.set(keyOf(pod), { life, over: running });
  }

  #makeSandbox(pod: Pod): Sandbox {
    const { spec, node, folder } = this.#parts;
    const names = namespaceNames(spec.name);
    const nodeNamespace = names.node(node.name);
    const own = join(folder, `${pod.namespace}.${pod.name}`);
    let addresses = nodeAddresses(spec, node);
    let namespace = nodeNamespace;
    if (!pod.hostNetwork) {
      const host = this.#takeHost(pod);
      addresses = spec.families.map((family) => podAddress(family, node.index, host));
      const machine = podMachine(spec, node, { namespace: pod.namespace, name: pod.name, host });
      namespace = machine.namespace;
      makeMachine(machine);
    }
    mkdirSync(own, { recursive: true });
    const hostname = pod.hostNetwork ? node.name : pod.hostname;
    const files = {
      "/etc/hosts": hostsFile(pod, addresses, hostname),
      "/etc/resolv.conf": resolverFile(pod),
    };
    const placed = Object.entries(files).map(([path, text]) => {
      const file = join(own, path.slice("/etc/".length));
      writeFileSync(file, text);
      return [path, file];
    });
    return {
      namespace,
      nodeNamespace,
      addresses,
      hostAddresses: nodeAddresses(spec, node),
      disguise: { hostname, files: Object.fromEntries(placed) },
      environment: {
        PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: "/root",
        HOSTNAME: hostname,
        KUBERNETES_SERVICE_HOST: apiServiceAddress,
        KUBERNETES_SERVICE_PORT: "443",
      },
      folder: own,
    };
  }

  #removeSandbox(pod: Pod, { namespace, nodeNamespace, folder }: Sandbox): void {
    if (namespace !== nodeNamespace) removeMachines([namespace]);
    rmSync(folder, { recursive: true, force: true });
    this.#hosts.delete(pod.uid);
  }

  #keepHost(pod: Pod): void {
    const host = podHostOf(pod.address, this.#parts.node.index);
    if (host !== undefined && ![...this.#hosts.values()].includes(host)) this.#hosts.set(pod.uid, host);
  }

  /** The next host that is free, so that an address is not soon used again. */
  #takeHost(pod: Pod): number {
    const kept = this.#hosts.get(pod.uid);
    if (kept !== undefined) return kept;
    const taken = new Set(this.#hosts.values());
    const { first, last } = podHosts;
    const size = last - first + 1;
    for (let step = 1; step <= size; step++) {
      const host = first + ((this.#lastHost - first + step) % size);
      if (taken.has(host)) continue;
      this.#hosts.set(pod.uid, host);
      this.#lastHost = host;
      return host;
    }
    throw new Error(`node ${this.#parts.node.name} has no free addresses: it runs ${size} pods`);
  }
}

function keyOf({ namespace, name }: Pod): string {
  return `${namespace}/${name}`;
}

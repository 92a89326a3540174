/** A node of a lab: its machine, its proxy, the agent that runs its pods, and what the API says of it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ifThere, type KubeClient, resourcePath } from "../kube/client.ts";
import { nodes, zoneLabel } from "../kube/objects/node.ts";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import { Kubelet } from "./kubelet/kubelet.ts";
import { pods } from "./kubelet/pod.ts";
import { makeMachine, removeMachines } from "./network/machines.ts";
import { podHosts } from "./plan/addresses.ts";
import { clusterCIDR, nodeAddresses, nodeMachine, podPrefixes } from "./plan/machine.ts";
import { namespaceNames } from "./plan/names.ts";
import type { LabSpec, NodeSpec } from "./plan/spec.ts";
import type { ServerHost } from "./pods/host.ts";
import { ProxyProcess } from "./proxyprocess.ts";
import type { LabFolder } from "./state.ts";

/** What a node needs. */
export interface NodeParts {
  readonly folder: LabFolder;
  readonly client: KubeClient;
  /** The kubeconfig that its proxy is given. */
  readonly kubeconfig: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** What serves the containers of its pods that have no program. */
  readonly servers: ServerHost;
  /** The version that it is said to run. */
  readonly version: string;
}

const apply = "application/apply-patch+yaml";

/** One node. */
export class LabNode {
  readonly node: NodeSpec;
  readonly proxy: ProxyProcess;
  readonly #spec: LabSpec;
  readonly #parts: NodeParts;
  #kubelet: Kubelet | undefined;

  constructor(spec: LabSpec, node: NodeSpec, parts: NodeParts) {
    this.node = node;
    this.#spec = spec;
    this.#parts = parts;
    const { clock, log, folder } = parts;
    this.proxy = new ProxyProcess(this.namespace, folder.node(node.name), { clock, log });
  }

  get namespace(): string {
    return namespaceNames(this.#spec.name).node(this.node.name);
  }

  get running(): boolean {
    return this.#kubelet !== undefined;
  }

  /** What can be said of it without asking anybody. */
  describe() {
    const { name, zone } = this.node;
    return {
      name,
      zone,
      state: this.running ? ("running" as const) : ("stopped" as const),
      namespace: this.namespace,
      addresses: nodeAddresses(this.#spec, this.node),
      podCIDRs: podPrefixes(this.#spec, this.node),
    };
  }

  /** Switches it on. @returns when its pods of before are known; its proxy may need a moment more. */
  async start(mode: string, signal: AbortSignal): Promise<void> {
    const { folder, client, clock, log, kubeconfig, servers } = this.#parts;
    makeMachine(nodeMachine(this.#spec, this.node));
    const place = folder.node(this.node.name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "kubeconfig"), kubeconfig, { mode: 0o600 });
    this.configureProxy(mode);
    await this.#register(signal);
    this.proxy.start();
    const kubelet = new Kubelet({
      spec: this.#spec,
      node: this.node,
      client,
      clock,
      log,
      folder: folder.pods,
      servers,
    });
    this.#kubelet = kubelet;
    await kubelet.start();
  }

  /** Writes the configuration of its proxy. @param cidr what it takes for the pods' addresses, if not what they are. */
  configureProxy(mode: string, cidr: string = clusterCIDR(this.#spec)): void {
    this.proxy.configure({ node: this.node.name, mode, clusterCIDR: cidr });
  }

  /** Switches it off at once, with its pods. The API is not told. */
  async stop(): Promise<void> {
    await Promise.all([this.#kubelet?.stop(), this.proxy.stop()]);
    this.#kubelet = undefined;
    removeMachines([this.namespace]);
  }

  /** Tells the API that nothing is heard of the node; what follows for its pods is the controllers' business. */
  async reportLost(signal: AbortSignal): Promise<void> {
    await this.#applyStatus(false, signal);
  }

  /** Takes it out of the API, with its pods. */
  async forget(signal: AbortSignal): Promise<void> {
    const { client } = this.#parts;
    // Somebody may have deleted it already.
    await ifThere(client.send({ method: "DELETE", path: resourcePath(nodes, { name: this.node.name }) }, signal));
    const body = { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0 };
    for (const pod of await this.#pods(signal)) {
      await client.send({ method: "DELETE", path: resourcePath(pods, pod), body }, signal).catch(() => {});
    }
  }

  async #pods(signal: AbortSignal): Promise<readonly { readonly namespace: string; readonly name: string }[]> {
    const query = { fieldSelector: `spec.nodeName=${this.node.name}` };
    const list = (await this.#parts.client.send({ path: resourcePath(pods), query }, signal)) as {
      readonly items: readonly { readonly metadata: { readonly namespace: string; readonly name: string } }[];
    };
    return list.items.map(({ metadata }) => metadata);
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { name, zone } = this.node;
    const podCIDRs = podPrefixes(this.#spec, this.node);
    const labels = {
      "kubernetes.io/hostname": name,
      "kubernetes.io/os": "linux",
      "kubernetes.io/arch": process.arch === "x64" ? "amd64" : process.arch,
      ...(zone !== "" && { [zoneLabel]: zone }),
    };
    const path = resourcePath(nodes, { name });
    const body = {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels },
      spec: { podCIDR: podCIDRs[0], podCIDRs },
    };
    const query = { fieldManager: "kubelet", force: true };
    await this.#parts.client.send({ method: "PATCH", path, query, contentType: apply, body }, signal);
    await this.#patch(path, { spec: { taints: [] } }, signal, "application/merge-patch+json");
    await this.#applyStatus(true, signal);
  }

  async #applyStatus(ready: boolean, signal: AbortSignal): Promise<void> {
    const { client, version } = this.#parts;
    const { name } = this.node;
    const now = new Date().toISOString().replace(/\.\d+/, "");
    const amounts = { cpu: "2", memory: "4Gi", pods: String(podHosts.last - podHosts.first + 1) };
    const status = {
      addresses: [
        ...nodeAddresses(this.#spec, this.node).map((address) => ({ type: "InternalIP", address })),
        { type: "Hostname", address: name },
      ],
      capacity: amounts,
      allocatable: amounts,
      conditions: [
        {
          type: "Ready",
          status: ready ? "True" : "Unknown",
          reason: ready ? "KubeletReady" : "NodeStatusUnknown",
          message: ready ? "the node runs" : "Kubelet stopped posting node status.",
          lastHeartbeatTime: now,
          lastTransitionTime: now,
        },
      ],
      nodeInfo: {
        kubeletVersion: `v${version}`,
        kubeProxyVersion: `v${version}`,
        operatingSystem: "linux",
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        osImage: "Portolan lab",
        kernelVersion: "",
        containerRuntimeVersion: `portolan://${version}`,
        machineID: "",
        systemUUID: "",
        bootID: "",
      },
    };
    const body = { apiVersion: "v1", kind: "Node", metadata: { name }, status };
    const path = `${resourcePath(nodes, { name })}/status`;
    await client.send(
      { method: "PATCH", path, query: { fieldManager: "kubelet", force: true }, contentType: apply, body },
      signal,
    );
  }

  #patch(path: string, body: object, signal: AbortSignal, contentType = "application/strategic-merge-patch+json") {
    return this.#parts.client.send({ method: "PATCH", path, contentType, body }, signal);
  }
}

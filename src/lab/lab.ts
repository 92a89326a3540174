/** A lab that runs: the API server with its controllers, the wire, the nodes. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError } from "../kernel/errno.ts";
import { KubeClient, resourcePath } from "../kube/client.ts";
import { startControllers } from "../kube/controllers/start.ts";
import { findCluster } from "../kube/kubeconfig.ts";
import { nodes } from "../kube/objects/node.ts";
import { type ApiServer, startApiServer } from "../kube/server/server.ts";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import { apiEndpoints } from "./apiendpoints.ts";
import { applyObjects } from "./apply.ts";
import { dnsCorefile, dnsDeployment, dnsObjects } from "./dns.ts";
import { LabNode, type NodeParts } from "./labnode.ts";
import { Gate } from "./network/gate.ts";
import { makeMachine, replaceRoutes, sweep } from "./network/machines.ts";
import { apiServiceAddress, clusterPrefix, servicePrefix, wireAddress, wireHost } from "./plan/addresses.ts";
import { nodeRoutes, outsideMachine, outsideRoutes, wireMachine } from "./plan/machine.ts";
import { labCommand, namespaceNames } from "./plan/names.ts";
import { type LabSpec, withNode, withNodeStopped, withoutNode } from "./plan/spec.ts";
import { podAccess } from "./podaccess.ts";
import { ServerHost } from "./pods/host.ts";
import type { LabFolder } from "./state.ts";

/** What a {@link Lab} needs. */
export interface LabParts {
  readonly folder: LabFolder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  /** A socket of the machine's, bound to the port of the API server, where this process is in another network. */
  readonly port: number | undefined;
  /** Told what it is doing while it starts. */
  readonly progress: (text: string) => void;
}

/** How a node is. */
export interface NodeStatus {
  readonly name: string;
  readonly zone: string;
  readonly state: "running" | "stopped";
  readonly namespace: string;
  readonly addresses: readonly string[];
  /** Of its pods. */
  readonly podCIDRs: readonly string[];
  /** What its proxy works in; empty while it does not serve. */
  readonly mode: string;
  readonly proxyPid: number | undefined;
}

/** Where nodes find the API server. */
const apiAddress = wireAddress("IPv4", wireHost.api);
const gatePort = 6443;
/** Milliseconds until a proxy must serve. */
const proxyPatience = 30_000;
/** Milliseconds until a proxy that serves must do so in another mode. */
const modePatience = 15_000;
/** Milliseconds that a lab waits for its DNS. */
const dnsPatience = 10_000;
/** Milliseconds between two looks at a proxy. */
const look = 50;

/** A lab that runs in this process. */
export class Lab {
  #spec: LabSpec;
  readonly #parts: LabParts;
  readonly #stop = new AbortController();
  readonly #nodes = new Map<string, LabNode>();
  readonly #gate: Gate;
  readonly #servers = new ServerHost();
  #server: ApiServer | undefined;
  #client: KubeClient | undefined;

  constructor(spec: LabSpec, parts: LabParts) {
    this.#spec = spec;
    this.#parts = parts;
    this.#gate = new Gate(() => this.#server?.port ?? 0);
  }

  get spec(): LabSpec {
    return this.#spec;
  }

  /** Starts everything but nodes that were stopped. @returns when every node's proxy serves. @throws what keeps it from that. */
  async start(): Promise<void> {
    const { progress, folder } = this.#parts;
    sweep(this.#spec.name);
    progress("API server");
    await this.#startApi();
    progress("wire");
    makeMachine(wireMachine(this.#spec));
    makeMachine(outsideMachine(this.#spec));
    await this.#gate.open(namespaceNames(this.#spec.name).wire, gatePort);
    await applyObjects(this.#needClient(), apiEndpoints(apiAddress, gatePort), this.#stop.signal);
    progress(`nodes: ${this.#spec.nodes.map(({ name }) => name).join(", ")}`);
    await this.#forgetOthers();
    for (const node of this.#spec.nodes) this.#nodes.set(node.name, this.#makeNode(node.name));
    const { signal } = this.#stop;
    const running = [...this.#nodes.values()].filter(({ node }) => node.stopped !== true);
    await Promise.all(running.map((node) => node.start(this.#spec.mode, signal)));
    await this.#startDns();
    progress("service proxies, DNS");
    await Promise.all([...running.map((node) => this.#untilServing(node)), this.#untilDnsReady()]);
    folder.write({ spec: this.#spec, apiPort: this.#server?.port ?? 0 });
  }

  /** Stops everything and leaves nothing in the kernel. Objects stay on disk. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#gate.close();
    await Promise.all([...this.#nodes.values()].map((node) => node.stop()));
    await this.#servers.close();
    await this.#client?.destroy();
    await this.#server?.stop();
    sweep(this.#spec.name);
  }

  /** How the nodes are. */
  async status(): Promise<readonly NodeStatus[]> {
    const { signal } = this.#stop;
    return Promise.all(
      [...this.#nodes.values()].map(async (node) => ({
        ...node.describe(),
        mode: node.running ? ((await node.proxy.mode(signal)) ?? "") : "",
        proxyPid: node.proxy.pid,
      })),
    );
  }

  /** Has every node's proxy work in another mode, and waits until all do. If one cannot, all stay as they were. */
  async setMode(mode: string): Promise<void> {
    const before = this.#spec.mode;
    const running = [...this.#nodes.values()].filter((node) => node.running);
    const configure = (wanted: string) => {
      this.#change({ ...this.#spec, mode: wanted });
      for (const node of running) node.configureProxy(wanted);
    };
    configure(mode);
    try {
      await Promise.all(running.map((node) => this.#untilServing(node, mode, modePatience)));
    } catch (error) {
      configure(before);
      throw error;
    }
  }

  /** Has one node's proxy take other addresses for those of pods; without `cidr`, those that are. */
  setClusterCIDR(name: string, cidr: string | undefined): void {
    this.#find(name).configureProxy(this.#spec.mode, cidr);
  }

  /** Adds a node, and waits until it serves. @returns its name. @throws an Error if it cannot be; then all is as it was. */
  async addNode(zone: string): Promise<string> {
    const next = withNode(this.#spec, zone);
    const name = next.nodes.at(-1)?.name ?? "";
    this.#change(next);
    const node = this.#makeNode(name);
    this.#nodes.set(name, node);
    try {
      await node.start(this.#spec.mode, this.#stop.signal);
    } catch (error) {
      await this.removeNode(name).catch(() => undefined);
      throw error;
    }
    this.#connect();
    await this.#untilServing(node);
    return name;
  }

  /** Removes a node with its pods, which go elsewhere if somebody wants them. */
  async removeNode(name: string): Promise<void> {
    const node = this.#find(name);
    if (this.#nodes.size === 1)
      throw new Error(`a lab needs a node: take it down instead, with ${labCommand(this.#spec.name, "down")}`);
    this.#change(withoutNode(this.#spec, name));
    this.#nodes.delete(name);
    await node.forget(this.#stop.signal);
    await node.stop();
    this.#connect();
  }

  /** Pulls a node's plug. The API learns of it. */
  async stopNode(name: string): Promise<void> {
    const node = this.#find(name);
    if (!node.running) return;
    this.#change(withNodeStopped(this.#spec, name, true));
    await node.stop();
    await node.reportLost(this.#stop.signal);
  }

  /** Switches a node on again. */
  async startNode(name: string): Promise<void> {
    const node = this.#find(name);
    if (node.running) return;
    this.#change(withNodeStopped(this.#spec, name, false));
    const again = this.#makeNode(name);
    this.#nodes.set(name, again);
    await again.start(this.#spec.mode, this.#stop.signal);
    await this.#untilServing(again);
  }

  #find(name: string): LabNode {
    const node = this.#nodes.get(name);
    if (node === undefined)
      throw new Error(`there is no node ${name}: there are ${[...this.#nodes.keys()].join(", ")}`);
    return node;
  }

  #change(spec: LabSpec): void {
    this.#parts.folder.write({ spec, apiPort: this.#server?.port ?? 0 });
    this.#spec = spec;
  }

  /** Tells every machine the way to the pods of nodes that came or went. */
  #connect(): void {
    const names = namespaceNames(this.#spec.name);
    replaceRoutes(names.wire, wireMachine(this.#spec).routes);
    replaceRoutes(names.outside, outsideRoutes(this.#spec));
    for (const node of this.#spec.nodes) {
      if (this.#nodes.get(node.name)?.running) replaceRoutes(names.node(node.name), nodeRoutes(this.#spec, node));
    }
  }

  #makeNode(name: string): LabNode {
    const node = this.#spec.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`there is no plan for node ${name}`);
    return new LabNode(this.#spec, node, this.#nodeParts());
  }

  #nodeParts(): NodeParts {
    const { folder, clock, log, version } = this.#parts;
    const kubeconfig = readFileSync(folder.kubeconfig, "utf8").replace(
      /server: .*/,
      `server: https://${apiAddress}:${gatePort}`,
    );
    return { folder, client: this.#needClient(), clock, log, version, kubeconfig, servers: this.#servers };
  }

  #needClient(): KubeClient {
    if (this.#client === undefined) throw new Error("the API server does not run");
    return this.#client;
  }

  async #startApi(): Promise<void> {
    const { folder, log } = this.#parts;
    const report = (error: unknown) => log.error(error, "The API server has failed at something");
    const { families, name } = this.#spec;
    const options = {
      directory: folder.api,
      name: `portolan-${name}`,
      names: [apiAddress, apiServiceAddress],
      serviceCIDRs: families.map((family) => servicePrefix[family]),
      pods: podAccess(folder, name, this.#servers),
      report,
    };
    const { port: socket } = this.#parts;
    const port = socket === undefined ? (folder.read()?.apiPort ?? 0) : await this.#gate.openSocket(socket);
    this.#server = await startApiServer({ ...options, port }).catch((error: unknown) => {
      // The port that it had before belongs to somebody else now.
      if (isSystemError(error, "EADDRINUSE")) return startApiServer({ ...options, port: 0 });
      throw error;
    });
    startControllers(
      this.#server.api,
      { podCIDRs: families.map((family) => clusterPrefix[family]), report },
      this.#stop.signal,
    );
    this.#client = new KubeClient(findCluster({ kubeconfig: this.#server.kubeconfig }), { clock: this.#parts.clock });
  }

  /** Takes nodes out of the API that the lab had in an earlier life. */
  async #forgetOthers(): Promise<void> {
    const { signal } = this.#stop;
    const list = (await this.#needClient().send({ path: resourcePath(nodes) }, signal)) as {
      readonly items: readonly { readonly metadata: { readonly name: string } }[];
    };
    for (const { metadata } of list.items) {
      if (this.#spec.nodes.some(({ name }) => name === metadata.name)) continue;
      await new LabNode(this.#spec, { name: metadata.name, index: 0, zone: "" }, this.#nodeParts()).forget(signal);
    }
  }

  /** Starts the cluster's DNS. */
  async #startDns(): Promise<void> {
    const { folder } = this.#parts;
    const [corefile, kubeconfig] = [join(folder.path, "Corefile"), join(folder.path, "dns.kubeconfig")];
    writeFileSync(kubeconfig, this.#nodeParts().kubeconfig, { mode: 0o600 });
    writeFileSync(corefile, dnsCorefile(kubeconfig));
    await applyObjects(this.#needClient(), dnsObjects(corefile), this.#stop.signal);
  }

  /** Waits until the DNS answers. A lab without it is a lab all the same. */
  async #untilDnsReady(): Promise<void> {
    const { clock, log } = this.#parts;
    const { signal } = this.#stop;
    const path = resourcePath({ group: "apps", version: "v1", plural: "deployments" }, dnsDeployment);
    for (const end = clock.monotonic() + dnsPatience; clock.monotonic() < end; await clock.sleep(look, signal)) {
      const deployment = (await this.#needClient().send({ path }, signal)) as {
        readonly status?: { readonly readyReplicas?: number };
      };
      if ((deployment.status?.readyReplicas ?? 0) > 0) return;
    }
    log.warn("The cluster's DNS does not answer yet", { deployment: dnsDeployment });
  }

  async #untilServing(node: LabNode, mode?: string, patience = proxyPatience): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stop;
    const end = clock.monotonic() + patience;
    for (;;) {
      const now = await node.proxy.mode(signal);
      if (now !== undefined && (mode === undefined || mode === "" || now === mode)) return;
      signal.throwIfAborted();
      if (clock.monotonic() > end) {
        const log = `${this.#parts.folder.node(node.node.name)}/proxy.log`;
        throw new Error(`the proxy of ${node.node.name} does not serve${mode ? ` in mode ${mode}` : ""}: see ${log}`);
      }
      await clock.sleep(look, signal);
    }
  }
}

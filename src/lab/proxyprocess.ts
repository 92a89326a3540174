/** The service proxy of a node: a program of its own, with a configuration file that is changed to change its mode. */
import type { ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { signalProcess, spawnInside } from "../kernel/programs.ts";
import { parseAddress } from "../net/address.ts";
import type { Clock } from "../telemetry/clock.ts";
import type { Logger } from "../telemetry/log.ts";
import { getInside } from "./network/http.ts";

const program = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const loopback = parseAddress("127.0.0.1");
const ports = { health: 10_256, metrics: 10_249 } as const;
/** Milliseconds before one that ended by itself is started again: doubled up to the second figure. */
const pauses = { first: 250, last: 10_000 };
/** Milliseconds for one answer of it. */
const patience = 1000;

/** What differs from one node's proxy to another's. */
export interface ProxySettings {
  readonly node: string;
  readonly mode: string;
  readonly clusterCIDR: string;
}

/** The proxy of one node. */
export class ProxyProcess {
  readonly #namespace: string;
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #child: ChildProcess | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(namespace: string, folder: string, parts: { readonly clock: Clock; readonly log: Logger }) {
    this.#namespace = namespace;
    this.#folder = folder;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Writes its configuration; if it runs, it takes it over. */
  configure({ node, mode, clusterCIDR }: ProxySettings): void {
    mkdirSync(this.#folder, { recursive: true });
    const config = {
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode,
      hostnameOverride: node,
      clusterCIDR,
      clientConnection: { kubeconfig: join(this.#folder, "kubeconfig") },
      // The machine's own limits are not for a lab to change.
      conntrack: { maxPerCore: 0, min: 0 },
      oomScoreAdj: 0,
      iptables: { minSyncPeriod: "10ms" },
    };
    writeFileSync(this.configFile, stringify(config));
  }

  /** The configuration file. */
  get configFile(): string {
    return join(this.#folder, "proxy.yaml");
  }

  /** The id of its process, undefined while there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it, and starts it again whenever it ends by itself. */
  start(): void {
    this.#running = this.#keepRunning();
  }

  /** Ends it. Its rules stay in the namespace. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const { pid } = this;
    if (pid !== undefined) {
      // One that was halted on purpose hears nothing else.
      signalProcess(pid, "SIGCONT");
      signalProcess(pid, "SIGTERM");
      const timer = setTimeout(() => signalProcess(pid, "SIGKILL"), 3000);
      await this.#running;
      clearTimeout(timer);
    }
    await this.#running;
  }

  /** The mode that it works in, once it serves; undefined before. */
  async mode(signal: AbortSignal): Promise<string | undefined> {
    const ask = (port: number, path: string) =>
      getInside(
        { namespace: this.#namespace, address: loopback, port, path },
        AbortSignal.any([signal, AbortSignal.timeout(patience)]),
      );
    try {
      const health = await ask(ports.health, "/healthz");
      return health.status === 200 ? (await ask(ports.metrics, "/proxyMode")).text.trim() : undefined;
    } catch {
      return undefined;
    }
  }

  async #keepRunning(): Promise<void> {
    const { signal } = this.#stop;
    for (let pause = pauses.first; !signal.aborted; pause = Math.min(2 * pause, pauses.last)) {
      const began = this.#clock.now();
      const code = await this.#once();
      if (signal.aborted) return;
      this.#log.warn("A proxy has ended and is started again", {
        namespace: this.#namespace,
        code,
        log: join(this.#folder, "proxy.log"),
      });
      if (this.#clock.now() - began > pauses.last) pause = pauses.first;
      await this.#clock.sleep(pause, signal);
    }
  }

  #once(): Promise<number | string> {
    const log = openSync(join(this.#folder, "proxy.log"), "a");
    const { promise, resolve } = Promise.withResolvers<number | string>();
    try {
      const child = spawnInside(
        this.#namespace,
        [process.execPath, "--disable-warning=ExperimentalWarning", program, "proxy", "--config", this.configFile],
        { stdio: ["ignore", log, log] },
      );
      this.#child = child;
      child.on("error", (error) => resolve(error.message));
      child.on("exit", (code, signal) => resolve(code ?? signal ?? ""));
    } finally {
      closeSync(log);
    }
    return promise.finally(() => {
      this.#child = undefined;
    });
  }
}

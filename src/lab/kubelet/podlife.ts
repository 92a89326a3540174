/** The life of one pod on its node: a place is made for it, its containers run there, it ends. */

import type { Address } from "../../net/address.ts";
import type { Clock } from "../../telemetry/clock.ts";
import { errorText, type Logger } from "../../telemetry/log.ts";
import type { ServerHost } from "../pods/host.ts";
import type { Sandbox } from "./actions.ts";
import { ContainerLife } from "./containerlife.ts";
import { environmentOf, type PodData } from "./environment.ts";
import type { Pod, PodContainer } from "./pod.ts";
import { startContainer } from "./start.ts";
import { conditionsOf, type PodReport } from "./status.ts";

/** What a pod's life needs of its node. */
export interface PodParts {
  readonly node: string;
  readonly hostAddresses: readonly Address[];
  readonly servers: ServerHost;
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes the place where the pod is to run. */
  readonly makeSandbox: (pod: Pod) => Sandbox;
  /** Removes it, with everything that runs there. */
  readonly removeSandbox: (pod: Pod, sandbox: Sandbox) => void;
  /** Gets the objects that a container's environment is taken from. */
  readonly fetchData: (pod: Pod, container: PodContainer, signal: AbortSignal) => Promise<PodData>;
  /** Called when the report is another. */
  readonly report: (report: PodReport) => void;
  readonly note: (pod: Pod, reason: string, message: string) => void;
}

/** Milliseconds that a container has to end where a probe wants it started anew. */
const restartGrace = 10_000;

/** One pod. */
export class PodLife {
  readonly #parts: PodParts;
  #pod: Pod;
  readonly #since: number;
  readonly #kill = new AbortController();
  readonly #ending = new AbortController();
  readonly #changed = new Map<string, number>();
  readonly #conditions = new Map<string, string>();
  #sandbox: Sandbox | undefined;
  #initialized = false;
  #init: readonly ContainerLife[] = [];
  #containers: readonly ContainerLife[] = [];
  readonly #sidecars: Promise<number>[] = [];
  #quiet = false;

  constructor(pod: Pod, parts: PodParts) {
    this.#pod = pod;
    this.#parts = parts;
    this.#since = parts.clock.now();
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Runs the pod until it was asked to {@link end} and has: then its place is free for others. */
  async run(): Promise<void> {
    const { makeSandbox, removeSandbox, log } = this.#parts;
    while (this.#sandbox === undefined && !this.#ending.signal.aborted) {
      try {
        this.#sandbox = makeSandbox(this.#pod);
      } catch (error) {
        log.error(error, "A pod could not be placed", {
          pod: { namespace: this.#pod.namespace, name: this.#pod.name },
        });
        this.#parts.note(this.#pod, "FailedCreatePodSandBox", errorText(error));
        await this.#parts.clock.sleep(1000, this.#ending.signal);
      }
    }
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return;
    this.#init = this.#lives(
      this.#pod.initContainers,
      sandbox,
      this.#pod.restartPolicy === "Never" ? "Never" : "OnFailure",
    );
    this.#containers = this.#lives(this.#pod.containers, sandbox, this.#pod.restartPolicy);
    this.#report();
    if (await this.#initialize()) {
      this.#initialized = true;
      await Promise.all(this.#containers.map((life) => life.run()));
      if (!this.#ending.signal.aborted) for (const life of this.#init) void life.end(AbortSignal.timeout(restartGrace));
    }
    if (!this.#ending.signal.aborted) {
      // All is done; the pod stays to be looked at until it is deleted.
      await new Promise((resolve) => this.#ending.signal.addEventListener("abort", resolve, { once: true }));
    }
    await Promise.all(this.#sidecars);
    removeSandbox(this.#pod, sandbox);
  }

  /** Takes over what has changed in the pod: labels, conditions that others set. */
  update(pod: Pod): void {
    this.#pod = pod;
    this.#report();
  }

  /** Asks the pod to end within a time; a later call may hasten it. @param grace milliseconds. */
  end(grace: number): void {
    if (grace === 0) this.#kill.abort();
    else {
      const timer = setTimeout(() => this.#kill.abort(), grace);
      this.#kill.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
      timer.unref();
    }
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    const all = (lives: readonly ContainerLife[]) => Promise.all(lives.map((life) => life.end(this.#kill.signal)));
    // Those beside the others serve them to the end.
    const sidecars = this.#init.filter(({ container }) => container.sidecar);
    void all(this.#init.filter((life) => !sidecars.includes(life)));
    void all(this.#containers).then(() => all(sidecars));
  }

  /** Says nothing more: for a node that is cut off. */
  silence(): void {
    this.#quiet = true;
  }

  async #initialize(): Promise<boolean> {
    for (const life of this.#init) {
      if (life.container.sidecar) {
        this.#sidecars.push(life.run());
        await life.begun;
        continue;
      }
      // The server that stands in for an image would never be done.
      const code = life.container.command.length === 0 ? 0 : await life.run();
      if (this.#ending.signal.aborted || code !== 0) return false;
    }
    return !this.#ending.signal.aborted;
  }

  #lives(
    containers: readonly PodContainer[],
    sandbox: Sandbox,
    restartPolicy: Pod["restartPolicy"],
  ): readonly ContainerLife[] {
    const { clock, servers, node, note } = this.#parts;
    const fetchData = (container: PodContainer, signal: AbortSignal) =>
      this.#parts.fetchData(this.#pod, container, signal);
    return containers.map(
      (container) =>
        new ContainerLife(container, {
          sandbox,
          clock,
          restartPolicy: container.sidecar ? "Always" : restartPolicy,
          grace: restartGrace,
          environment: async (signal) => ({
            ...sandbox.environment,
            ...environmentOf(container, this.#pod, sandbox, await fetchData(container, signal)),
          }),
          start: (own) => startContainer(this.#pod, node, container, own, servers),
          changed: () => this.#report(),
          note: (reason, message) => note(this.#pod, reason, message),
        }),
    );
  }

  #report(): void {
    if (this.#quiet) return;
    const { clock, hostAddresses, report } = this.#parts;
    const draft: PodReport = {
      pod: this.#pod,
      addresses: this.#sandbox?.addresses ?? [],
      hostAddresses,
      since: this.#since,
      initialized: this.#initialized || this.#pod.initContainers.length === 0,
      initContainers: this.#init.map((life) => life.report),
      containers: this.#containers.map((life) => life.report),
      changed: this.#changed,
    };
    for (const { type, status } of conditionsOf(draft)) {
      if (this.#conditions.get(type) !== status) this.#changed.set(type, clock.now());
      this.#conditions.set(type, status);
    }
    report(draft);
  }
}

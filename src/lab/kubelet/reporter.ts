/** Writes what a node knows to the API: statuses, one write at a time for each pod and only the latest; and events. */
import { type KubeClient, KubeError, resourcePath } from "../../kube/client.ts";
import type { Clock } from "../../telemetry/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { type Pod, pods } from "./pod.ts";
import { type PodReport, statusOf } from "./status.ts";

const events = { group: "", version: "v1", plural: "events" } as const;
const patchType = "application/strategic-merge-patch+json";
/** Milliseconds after which a write that failed is tried again. */
const retryPause = 500;
/** Events of a pod that are told one by one; what comes more often is left out for a while. */
const eventPause = 1000;

/** What a {@link Reporter} needs. */
export interface ReporterParts {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** The name of the node. */
  readonly node: string;
}

/** Tells the API server about the pods of a node. */
export class Reporter {
  readonly #parts: ReporterParts;
  readonly #signal: AbortSignal;
  /** The latest report of each pod by its uid, while it is being written or is to be. */
  readonly #waiting = new Map<string, PodReport | undefined>();
  readonly #written = new Map<string, string>();
  readonly #told = new Map<string, number>();

  constructor(parts: ReporterParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  /** Has a report written, in the place of an earlier one that is not written yet. */
  status(report: PodReport): void {
    const { uid } = report.pod;
    const busy = this.#waiting.has(uid);
    this.#waiting.set(uid, report);
    // What changes at the same time is written together.
    if (!busy) setImmediate(() => void this.#write(uid));
  }

  /** Forgets a pod. */
  forget(pod: Pod): void {
    this.#waiting.delete(pod.uid);
    this.#written.delete(pod.uid);
    for (const key of this.#told.keys()) if (key.startsWith(pod.uid)) this.#told.delete(key);
  }

  /** Says that a pod is no more, so that the API server lets go of it. */
  async gone(pod: Pod): Promise<void> {
    const body = { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0, preconditions: { uid: pod.uid } };
    await this.#insist(() => this.#send({ method: "DELETE", path: resourcePath(pods, pod), body }));
    this.forget(pod);
  }

  /** Makes an event about a pod. */
  event(pod: Pod, reason: string, message: string): void {
    const { clock, node, log } = this.#parts;
    const now = clock.now();
    const key = `${pod.uid} ${reason} ${message}`;
    if (now - (this.#told.get(key) ?? Number.NEGATIVE_INFINITY) < eventPause) return;
    this.#told.set(key, now);
    const time = new Date(now).toISOString().replace(/\.\d+/, "");
    const good = ["Started", "Killing", "Created"].includes(reason);
    const body = {
      apiVersion: "v1",
      kind: "Event",
      metadata: { generateName: `${pod.name}.`.slice(0, 200), namespace: pod.namespace },
      involvedObject: { apiVersion: "v1", kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid },
      reason,
      message: message.slice(0, 1000),
      type: good ? "Normal" : "Warning",
      source: { component: "kubelet", host: node },
      reportingComponent: "kubelet",
      reportingInstance: node,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
    this.#send({
      method: "POST",
      path: resourcePath(events, pod.namespace === "" ? {} : { namespace: pod.namespace }),
      body,
    }).catch((error: unknown) => {
      if (!this.#signal.aborted) log.debug(2, "An event could not be written", { reason, error });
    });
  }

  async #write(uid: string): Promise<void> {
    for (;;) {
      const report = this.#waiting.get(uid);
      if (report === undefined) break;
      this.#waiting.set(uid, undefined);
      const status = statusOf(report);
      const text = JSON.stringify(status);
      if (this.#written.get(uid) === text) continue;
      const { pod } = report;
      const body = { metadata: { uid }, status };
      const path = `${resourcePath(pods, pod)}/status`;
      if (await this.#insist(() => this.#send({ method: "PATCH", path, body, contentType: patchType })))
        this.#written.set(uid, text);
    }
    this.#waiting.delete(uid);
  }

  /** Tries until it works, or until the object is not there, or not the one meant. @returns whether it worked. */
  async #insist(work: () => Promise<unknown>): Promise<boolean> {
    while (!this.#signal.aborted) {
      try {
        await work();
        return true;
      } catch (error) {
        if (error instanceof KubeError && (error.status === 404 || error.status === 409)) return false;
        if (this.#signal.aborted) return false;
        this.#parts.log.error(error, "The API server did not take a write");
        if (error instanceof KubeError && error.status === 422) return false;
        await this.#parts.clock.sleep(retryPause, this.#signal);
      }
    }
    return false;
  }

  #send(request: Parameters<KubeClient["send"]>[0]): Promise<unknown> {
    return this.#parts.client.send(request, this.#signal);
  }
}

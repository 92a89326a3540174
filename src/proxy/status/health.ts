/**
 * Whether this node's service proxy works (KEP-3836): what load balancers and the kubelet ask the health server.
 * The state is pure; {@link healthRoutes} makes pages of it, byte for byte as kube-proxy writes them.
 */
import type { Node } from "../../kube/objects/node.ts";
import type { Family } from "../../net/address.ts";
import type { Clock } from "../../telemetry/clock.ts";
import type { HttpReply, Routes } from "../../telemetry/http.ts";
import type { Counter, Family as MetricFamily } from "../../telemetry/metrics.ts";

/** The taint that the cluster autoscaler gives to a node that it is about to delete. */
const deletionTaint = "ToBeDeletedByClusterAutoscaler";

/** What the proxy has done, and what it still has to do, and for how long already. */
export class ProxyHealth {
  readonly #clock: Pick<Clock, "now">;
  readonly #lastUpdated = new Map<Family, number>();
  readonly #oldestPending = new Map<Family, number>();
  #timeout: number;
  #nodeEligible = true;

  /** @param timeout milliseconds that a change may wait before the proxy counts as unhealthy. */
  constructor(clock: Pick<Clock, "now">, timeout: number) {
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** Takes another timeout, from now on. */
  setTimeout(timeout: number): void {
    this.#timeout = timeout;
  }

  /** Changes for this family came in and are to be programmed. */
  queued(family: Family): void {
    if (!this.#oldestPending.has(family)) this.#oldestPending.set(family, this.#clock.now());
  }

  /** Everything that had come in for this family is programmed; also to be said when the family begins to be served. */
  updated(family: Family): void {
    this.#oldestPending.delete(family);
    this.#lastUpdated.set(family, this.#clock.now());
  }

  /** Takes in the state of this node. */
  setNode(node: Pick<Node, "deleting" | "taints">): void {
    this.#nodeEligible = !node.deleting && !node.taints.includes(deletionTaint);
  }

  /** False once this node is about to go: load balancers should send nothing new, though all works. */
  get nodeEligible(): boolean {
    return this.#nodeEligible;
  }

  /** Whether the proxy works, and since when at least; `lastUpdated` is undefined before the first success. */
  check(): { readonly healthy: boolean; readonly lastUpdated: number | undefined } {
    const now = this.#clock.now();
    for (const [family, lastUpdated] of this.#lastUpdated) {
      const pending = this.#oldestPending.get(family);
      if (pending !== undefined && now - pending >= this.#timeout) return { healthy: false, lastUpdated };
    }
    return { healthy: true, lastUpdated: now };
  }
}

/** The pages of the health server; `/healthz` asks whether the node is to get traffic, `/livez` only whether we work. */
export function healthRoutes(
  health: ProxyHealth,
  clock: Pick<Clock, "now">,
  counts: { readonly healthz: MetricFamily<Counter>; readonly livez: MetricFamily<Counter> },
): Routes {
  const reply = (count: MetricFamily<Counter>, node: boolean): HttpReply => {
    const { healthy, lastUpdated } = health.check();
    const now = clock.now();
    const well = healthy && (!node || health.nodeEligible);
    const status = well ? 200 : 503;
    count.labels(String(status)).add(1);
    const updated = formatGoTime(well ? now : (lastUpdated ?? now));
    const eligible = node ? `, "nodeEligible": ${health.nodeEligible}` : "";
    return {
      status,
      headers: { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" },
      body: `{"lastUpdated": "${updated}","currentTime": "${formatGoTime(now)}"${eligible}}`,
    };
  };
  return { "/healthz": () => reply(counts.healthz, true), "/livez": () => reply(counts.livez, false) };
}

/** A time as Go's `Time.String` writes it, in UTC: `2026-11-21 10:00:00.25 +0000 UTC`. */
export function formatGoTime(milliseconds: number): string {
  const text = new Date(milliseconds).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, -1).replace(/\.?0+$/, "")} +0000 UTC`;
}

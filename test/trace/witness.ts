/** The kernel's own trace of single packets, to hold the walk against. */
import { inNamespace } from "../../src/kernel/namespace.ts";
import { formatVerdict, type TraceStep, watchTraces } from "../../src/kernel/nftables/index.ts";
import type { State } from "../../src/trace/walk/index.ts";
import { stepsOf } from "../../src/trace/walk/index.ts";
import type { Host } from "../support/network.ts";

/** The table that makes the kernel trace what comes in by an interface, and what the node itself begins, before anybody else looks. */
export function tracingTable(input: string): string {
  return `table inet tracing { chain pre { type filter hook prerouting priority -350; iifname ${input} meta l4proto { tcp, udp } meta nftrace set 1; }; chain own { type filter hook output priority -350; meta l4proto udp meta nftrace set 1; tcp flags & (syn | ack) == syn meta nftrace set 1; }; };\n`;
}

/** Listens to the traces of a namespace. */
export class Witness implements Disposable {
  readonly #stop = new AbortController();
  #steps: TraceStep[] = [];
  #overrun = false;

  constructor(host: Host) {
    let traces: ReturnType<typeof watchTraces> | undefined;
    inNamespace(host.namespace, () => {
      traces = watchTraces(this.#stop.signal);
    });
    void (async () => {
      for await (const step of traces ?? []) {
        if (step.kind === "overrun") this.#overrun = true;
        else this.#steps.push(step);
      }
    })();
  }

  /** What has been traced since the last call. */
  take(): readonly TraceStep[] {
    if (this.#overrun) throw new Error("traces were lost");
    const steps = this.#steps;
    this.#steps = [];
    return steps;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}

/** The steps of a trace that a walk knows too, a line each. */
export function linesOfTrace(steps: readonly TraceStep[]): readonly string[] {
  return steps
    .filter(({ kind }) => kind !== "return")
    .map(({ kind, family, table, chain, handle, verdict }) =>
      kind === "policy"
        ? `${family} ${table} ${chain} policy ${verdict?.kind}`
        : `${family} ${table} ${chain} rule ${handle} ${verdict === undefined ? "?" : formatVerdict(verdict)}`,
    );
}

/** The same lines of a walk's branch. */
export function linesOfWalk(state: State): readonly string[] {
  return stepsOf(state).flatMap((step) => {
    if (step.kind === "policy") return [`${step.family} ${step.table} ${step.chain} policy ${step.verdict}`];
    if (step.kind !== "rule") return [];
    return [`${step.family} ${step.table} ${step.chain} rule ${step.handle} ${formatVerdict(step.verdict)}`];
  });
}

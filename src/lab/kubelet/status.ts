/** The status that a node reports of a pod: pure. */
import type { Address } from "../../net/address.ts";
import type { Pod, PodContainer } from "./pod.ts";

/** What a container is doing. Times are milliseconds since the epoch. */
export type ContainerState =
  | { readonly type: "waiting"; readonly reason: string; readonly message?: string }
  | { readonly type: "running"; readonly since: number }
  | { readonly type: "terminated"; readonly code: number; readonly since: number; readonly until: number };

/** A container, as its node knows it. */
export interface ContainerReport {
  readonly container: PodContainer;
  readonly state: ContainerState;
  readonly previous?: ContainerState;
  readonly ready: boolean;
  /** Past its startup probe. */
  readonly started: boolean;
  readonly restarts: number;
}

/** A pod, as its node knows it. */
export interface PodReport {
  readonly pod: Pod;
  readonly addresses: readonly Address[];
  readonly hostAddresses: readonly Address[];
  /** When the node took it on. */
  readonly since: number;
  /** Whether all init containers are done. */
  readonly initialized: boolean;
  readonly initContainers: readonly ContainerReport[];
  readonly containers: readonly ContainerReport[];
  /** When each condition was last another. */
  readonly changed: ReadonlyMap<string, number>;
}

/** A condition of a pod, without its time. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason?: string;
  readonly message?: string;
}

/** The phase of a pod (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase). */
export function phaseOf({ pod, initialized, containers, initContainers }: PodReport): string {
  const ended = (report: ContainerReport) => report.state.type === "terminated";
  const failed = (report: ContainerReport) => report.state.type === "terminated" && report.state.code !== 0;
  if (!initialized) {
    const lost = initContainers.some((report) => !report.container.sidecar && failed(report));
    return pod.restartPolicy === "Never" && lost ? "Failed" : "Pending";
  }
  if (containers.length > 0 && containers.every(ended)) {
    // Where it is to run again, it is between two lives.
    const over = pod.deletion !== undefined || pod.restartPolicy !== "Always";
    if (over && containers.some(failed))
      return pod.restartPolicy === "OnFailure" && !pod.deletion ? "Running" : "Failed";
    if (over) return "Succeeded";
  }
  return containers.some(({ state, restarts }) => state.type !== "waiting" || restarts > 0) ? "Running" : "Pending";
}

/** The conditions that a pod's report amounts to. */
export function conditionsOf(report: PodReport): readonly Condition[] {
  const { pod, initialized } = report;
  const phase = phaseOf(report);
  const sidecars = report.initContainers.filter(({ container }) => container.sidecar);
  const unready = [...sidecars, ...report.containers]
    .filter(({ ready }) => !ready)
    .map(({ container }) => container.name);
  const over = phase === "Succeeded" || phase === "Failed";
  const containersReady = initialized && !over && unready.length === 0;
  const closed = pod.readinessGates.filter((type) => !pod.conditions.includes(type));
  const why = over
    ? { reason: phase === "Succeeded" ? "PodCompleted" : "PodFailed" }
    : { reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
  const gated = {
    reason: "ReadinessGatesNotReady",
    message: `corresponding conditions of pod readiness gates are not "True": ${closed.join(", ")}`,
  };
  const ready = containersReady && closed.length === 0;
  return [
    { type: "PodScheduled", status: "True" },
    { type: "PodReadyToStartContainers", status: report.addresses.length > 0 ? "True" : "False" },
    initialized
      ? { type: "Initialized", status: "True" }
      : { type: "Initialized", status: "False", reason: "ContainersNotInitialized" },
    { type: "ContainersReady", status: containersReady ? "True" : "False", ...(!containersReady && why) },
    { type: "Ready", status: ready ? "True" : "False", ...(!ready && (containersReady ? gated : why)) },
  ];
}

/** The `status` of a pod in the API, as a strategic merge patch: conditions of others stay. */
export function statusOf(report: PodReport): object {
  const { addresses, hostAddresses, changed } = report;
  const list = (ips: readonly Address[]) => ips.map((ip) => ({ ip }));
  return {
    phase: phaseOf(report),
    startTime: timestamp(report.since),
    qosClass: "BestEffort",
    ...(hostAddresses[0] !== undefined && { hostIP: hostAddresses[0], hostIPs: list(hostAddresses) }),
    ...(addresses[0] !== undefined && { podIP: addresses[0], podIPs: list(addresses) }),
    conditions: conditionsOf(report).map((condition) => ({
      reason: null,
      message: null,
      ...condition,
      lastTransitionTime: timestamp(changed.get(condition.type) ?? report.since),
      lastProbeTime: null,
    })),
    ...(report.initContainers.length > 0 && {
      initContainerStatuses: report.initContainers.map((container) => containerStatus(report.pod, container)),
    }),
    containerStatuses: report.containers.map((container) => containerStatus(report.pod, container)),
  };
}

function containerStatus({ uid }: Pod, report: ContainerReport): object {
  const { container, state, previous, restarts, ready, started } = report;
  return {
    name: container.name,
    image: container.image,
    imageID: "",
    ready,
    started,
    restartCount: restarts,
    ...(state.type !== "waiting" && { containerID: `portolan://${uid}/${container.name}/${restarts}` }),
    state: stateOf(state),
    lastState: previous === undefined ? {} : stateOf(previous),
  };
}

function stateOf(state: ContainerState): object {
  switch (state.type) {
    case "waiting":
      return { waiting: { reason: state.reason, ...(state.message !== undefined && { message: state.message }) } };
    case "running":
      return { running: { startedAt: timestamp(state.since) } };
    case "terminated":
      return {
        terminated: {
          exitCode: state.code,
          reason: state.code === 0 ? "Completed" : "Error",
          startedAt: timestamp(state.since),
          finishedAt: timestamp(state.until),
        },
      };
  }
}

function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

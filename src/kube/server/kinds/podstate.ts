/** What `kubectl get pods` shows of a pod, in the words of upstream's printer. Pure. */
import { isObject, type JsonObject, listAt, numberAt, objectAt, textAt } from "../json.ts";
import { age } from "./columns.ts";

const statusesOf = (pod: JsonObject, list: "containerStatuses" | "initContainerStatuses") =>
  listAt(pod, "status", list).filter(isObject);

/** The condition of a pod, or an empty object. */
function conditionOf(pod: JsonObject, type: string): JsonObject {
  return objectAt(
    { found: listAt(pod, "status", "conditions").find((item) => textAt(item, "type") === type) },
    "found",
  );
}

/** Why a container has ended, in one word. */
function endOf(terminated: JsonObject): string {
  const signal = numberAt(terminated, ["signal"]);
  const number = signal === 0 ? `ExitCode:${numberAt(terminated, ["exitCode"])}` : `Signal:${signal}`;
  return textAt(terminated, "reason") || number;
}

/** What keeps a pod before its containers; undefined once all that comes before them is done. */
function initState(pod: JsonObject): string | undefined {
  if (textAt(conditionOf(pod, "Initialized"), "status") === "True") return undefined;
  for (const [i, status] of statusesOf(pod, "initContainerStatuses").entries()) {
    const { terminated } = objectAt(status, "state");
    const waiting = textAt(status, "state", "waiting", "reason");
    if (isObject(terminated) && numberAt(terminated, ["exitCode"]) === 0) continue;
    if (isObject(terminated)) return `Init:${endOf(terminated)}`;
    if (waiting !== "" && waiting !== "PodInitializing") return `Init:${waiting}`;
    return `Init:${i}/${listAt(pod, "spec", "initContainers").length}`;
  }
  return undefined;
}

/** The first container that waits or has ended says how the pod is; undefined if none does. */
function containerState(pod: JsonObject): string | undefined {
  for (const { state } of statusesOf(pod, "containerStatuses")) {
    const waiting = textAt(state, "waiting", "reason");
    if (waiting !== "") return waiting;
    const { terminated } = objectAt({ state }, "state");
    if (isObject(terminated)) return endOf(terminated);
  }
  return undefined;
}

/** The word for what a pod is doing: its phase, or what is better to know. */
export function podState(pod: JsonObject): string {
  const phase = textAt(pod, "status", "phase");
  const over = phase === "Succeeded" || phase === "Failed";
  if (textAt(pod, "metadata", "deletionTimestamp") !== "" && !over) return "Terminating";
  const gated = textAt(conditionOf(pod, "PodScheduled"), "reason") === "SchedulingGated" ? "SchedulingGated" : "";
  const state = initState(pod) ?? containerState(pod);
  if (state === "Completed" && readyContainers(pod) > 0)
    return textAt(conditionOf(pod, "Ready"), "status") === "True" ? "Running" : "NotReady";
  return state ?? (gated || textAt(pod, "status", "reason") || phase || "Unknown");
}

/** Containers that run and are ready. */
export function readyContainers(pod: JsonObject): number {
  const runs = (status: JsonObject) => status.ready === true && isObject(objectAt(status, "state").running);
  return statusesOf(pod, "containerStatuses").filter(runs).length;
}

/** How often containers were started again, and when last: of those that matter now, as upstream. */
export function restarts(pod: JsonObject, now: number): string {
  const statuses = statusesOf(pod, initState(pod) === undefined ? "containerStatuses" : "initContainerStatuses");
  const sum = statuses.reduce((all, status) => all + numberAt(status, ["restartCount"]), 0);
  const last = statuses
    .map((status) => textAt(status, "lastState", "terminated", "finishedAt"))
    .sort()
    .at(-1);
  return sum === 0 || last === undefined || last === "" ? String(sum) : `${sum} (${age(last, now)} ago)`;
}

import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../json.ts";
import { podState, readyContainers, restarts } from "./podstate.ts";

const running = { running: { startedAt: "2026-01-01T00:00:00Z" } };
const waiting = (reason: string) => ({ waiting: { reason } });
const ended = (exitCode: number, reason = "") => ({ terminated: { exitCode, ...(reason !== "" && { reason }) } });
const container = (state: JsonObject, ready = false): JsonObject => ({ state, ready, restartCount: 0 });

function pod(status: JsonObject, metadata: JsonObject = {}): JsonObject {
  const containers = [{ name: "a" }, { name: "b" }];
  return { metadata, spec: { containers, initContainers: containers }, status };
}

test("the state of a pod is the word that says most of it", () => {
  const state = (...containerStatuses: readonly JsonObject[]) => podState(pod({ phase: "Running", containerStatuses }));
  assert.equal(podState(pod({ phase: "Pending" })), "Pending");
  assert.equal(podState(pod({ phase: "Failed", reason: "Evicted" })), "Evicted");
  assert.equal(podState(pod({})), "Unknown");
  const gates = [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }];
  assert.equal(podState(pod({ phase: "Pending", conditions: gates })), "SchedulingGated");
  assert.equal(state(container(running, true), container(running, true)), "Running");
  assert.equal(state(container(running, true), container(waiting("CrashLoopBackOff"))), "CrashLoopBackOff");
  assert.equal(state(container(ended(3, "Error")), container(waiting("Later"))), "Error", "the first one counts");
  assert.equal(state(container(ended(3))), "ExitCode:3");
  assert.equal(state(container({ terminated: { exitCode: 137, signal: 9 } })), "Signal:9");
  assert.equal(state(container(ended(0, "Completed")), container(running, true)), "NotReady");
  assert.equal(state(container(ended(0, "Completed")), container(ended(0, "Completed"))), "Completed");
});

test("a pod that is ending is Terminating, unless it is over", () => {
  const deleted = { deletionTimestamp: "2026-01-01T00:00:00Z" };
  assert.equal(podState(pod({ phase: "Running" }, deleted)), "Terminating");
  assert.equal(
    podState(pod({ phase: "Succeeded", containerStatuses: [container(ended(0, "Completed"))] }, deleted)),
    "Completed",
  );
});

test("until a pod is initialized, its state is that of the first init container that is not done", () => {
  const state = (...initContainerStatuses: readonly JsonObject[]) =>
    podState(
      pod({ phase: "Pending", initContainerStatuses, containerStatuses: [container(waiting("PodInitializing"))] }),
    );
  assert.equal(state(container(ended(0, "Completed")), container(running)), "Init:1/2");
  assert.equal(state(container(waiting("PodInitializing"))), "Init:0/2");
  assert.equal(state(container(waiting("CrashLoopBackOff"))), "Init:CrashLoopBackOff");
  assert.equal(state(container(ended(1, "Error"))), "Init:Error");
  assert.equal(state(container(ended(0)), container(ended(0))), "PodInitializing");
});

test("containers are ready while they run, and restarts are counted of those that matter now", () => {
  const lastState = { terminated: { finishedAt: "2026-01-01T00:00:00Z" } };
  const again = { ...container(running, true), restartCount: 2, lastState };
  const status = { initContainerStatuses: [{ ...again, state: ended(0) }], containerStatuses: [again, again] };
  const now = Date.parse("2026-01-01T00:00:30Z");
  assert.equal(restarts(pod(status), now), "4 (30s ago)");
  assert.equal(restarts(pod({ ...status, initContainerStatuses: [again] }), now), "2 (30s ago)");
  assert.equal(readyContainers(pod(status)), 2);
  assert.equal(readyContainers(pod({ containerStatuses: [{ ...again, state: ended(0) }] })), 0);
});

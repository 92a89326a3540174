import assert from "node:assert/strict";
import test from "node:test";
import { projectPod } from "./pod.ts";
import { type ContainerState, conditionsOf, type PodReport, phaseOf, statusOf } from "./status.ts";

const running: ContainerState = { type: "running", since: 1000 };
const ended = (code: number): ContainerState => ({ type: "terminated", code, since: 1000, until: 2000 });
const waiting: ContainerState = { type: "waiting", reason: "ContainerCreating" };

function report(states: readonly ContainerState[], spec: object = {}, more: Partial<PodReport> = {}): PodReport {
  const raw = {
    metadata: { name: "p", namespace: "n", uid: "u" },
    spec: { containers: states.map((_, i) => ({ name: `c${i}` })), ...spec },
  };
  const projected = projectPod(raw);
  assert.equal(projected.outcome, "object");
  const { object: pod } = projected as { readonly object: PodReport["pod"] };
  const containers = states.map((state, i) => ({
    container: pod.containers[i] as PodReport["containers"][number]["container"],
    state,
    ready: state.type === "running",
    started: true,
    restarts: 0,
  }));
  return {
    pod,
    containers,
    addresses: [],
    hostAddresses: [],
    since: 0,
    initialized: true,
    initContainers: [],
    changed: new Map(),
    ...more,
  };
}

test("the phase of a pod follows from its containers and its restart policy", () => {
  assert.equal(phaseOf(report([waiting])), "Pending");
  assert.equal(phaseOf(report([running, waiting])), "Running");
  assert.equal(phaseOf(report([ended(0)])), "Running");
  assert.equal(phaseOf(report([ended(0), ended(0)], { restartPolicy: "OnFailure" })), "Succeeded");
  assert.equal(phaseOf(report([ended(0), ended(1)], { restartPolicy: "OnFailure" })), "Running");
  assert.equal(phaseOf(report([ended(0), ended(1)], { restartPolicy: "Never" })), "Failed");
  assert.equal(phaseOf(report([waiting], {}, { initialized: false })), "Pending");
});

test("a pod is ready when all its containers are, and its gates are open", () => {
  const ready = (of: PodReport) => conditionsOf(of).find(({ type }) => type === "Ready");
  assert.equal(ready(report([running, running]))?.status, "True");
  assert.equal(ready(report([running, waiting]))?.message, "containers with unready status: [c1]");
  assert.equal(
    ready(report([running], { readinessGates: [{ conditionType: "x/y" }] }))?.reason,
    "ReadinessGatesNotReady",
  );
  assert.equal(ready(report([ended(0)], { restartPolicy: "Never" }))?.reason, "PodCompleted");
});

test("a status has what kubectl shows", () => {
  const status = JSON.stringify(statusOf(report([running, ended(3)])));
  assert.match(status, /"phase":"Running"/);
  assert.match(status, /"running":\{"startedAt":"1970-01-01T00:00:01Z"\}/);
  assert.match(status, /"exitCode":3,"reason":"Error"/);
});

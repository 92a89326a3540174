import assert from "node:assert/strict";
import { test } from "node:test";
import { type ApiObject, type JsonObject, numberAt } from "../server/json.ts";
import { podDisruptionBudget, refusalOf } from "../server/kinds/disruption.ts";
import { decideBudget, type Expected } from "./disruption.ts";

const metadata = {
  name: "web",
  namespace: "default",
  uid: "1",
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
  generation: 3,
};

function budget(spec: JsonObject, status: JsonObject = {}): ApiObject {
  return { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata, spec, status };
}

function pods(ready: number, other: number): readonly ApiObject[] {
  const pod = (status: string): ApiObject => {
    return { apiVersion: "v1", kind: "Pod", metadata, status: { conditions: [{ type: "Ready", status }] } };
  };
  return [...Array(ready).fill(pod("True")), ...Array(other).fill(pod("False"))];
}

test("a budget has room for as many pods as are healthy beyond those that must be", () => {
  const room = (spec: JsonObject, ready: number, expected: Expected) => {
    const status = decideBudget(budget(spec), pods(ready, 1), expected, 0);
    return [numberAt(status, ["desiredHealthy"]), numberAt(status, ["disruptionsAllowed"])];
  };
  assert.deepEqual(room({ minAvailable: 2 }, 4, { pods: 9 }), [2, 2], "a number needs no owners");
  assert.deepEqual(room({ minAvailable: "50%" }, 4, { pods: 5 }), [3, 1], "percentages round up");
  assert.deepEqual(room({ maxUnavailable: 1 }, 4, { pods: 5 }), [4, 0]);
  assert.deepEqual(room({ maxUnavailable: "30%" }, 5, { pods: 5 }), [3, 2]);
  assert.deepEqual(room({ maxUnavailable: 9 }, 5, { pods: 5 }), [0, 5]);
  assert.deepEqual(room({ maxUnavailable: 1 }, 5, { pods: 0 }), [0, 0], "nobody wants these pods");
  assert.deepEqual(room({ maxUnavailable: 1 }, 5, { failure: "no" }), [0, 0]);
});

test("a budget without room says why", () => {
  const refused = (spec: JsonObject, expected: Expected) =>
    refusalOf(budget(spec, decideBudget(budget(spec), pods(2, 1), expected, 0)));
  assert.equal(refused({ minAvailable: 1 }, { pods: 2 }), undefined);
  assert.match(refused({ minAvailable: 2 }, { pods: 2 }) ?? "", /web needs 2 healthy pods and has 2 currently/);
  assert.match(refused({ minAvailable: "50%" }, { failure: "no replicas" }) ?? "", /failed sync: no replicas/);
  assert.match(refusalOf(budget({ minAvailable: 1 })) ?? "", /still being processed/);
});

test("a budget asks for pods that must stay or for pods that may go, in numbers or percentages", () => {
  const problems = (spec: JsonObject) =>
    (podDisruptionBudget.validate?.(budget(spec)) ?? []).map(({ field, message }) => `${field}: ${message}`);
  assert.deepEqual(problems({ minAvailable: "30%", selector: {} }), []);
  assert.match(problems({ minAvailable: 1, maxUnavailable: 1 })[0] ?? "", /cannot be both set/);
  assert.match(problems({ minAvailable: -1 })[0] ?? "", /^spec.minAvailable: .*greater than or equal to 0/);
  assert.match(problems({ maxUnavailable: "101%" })[0] ?? "", /not be greater than 100%/);
  assert.match(problems({ maxUnavailable: "some" })[0] ?? "", /whole number or a percentage/);
  assert.match(problems({ unhealthyPodEvictionPolicy: "Never" })[0] ?? "", /Unsupported value: "Never"/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ApiError } from "../errors.ts";
import { type JsonObject, listAt } from "../json.ts";
import { int, labels, listBy, of, opaque, selector, str, stringSet, struct } from "../schema/schema.ts";
import { applyConfiguration } from "./apply.ts";
import { fromFieldsV1, readable, separator, toFieldsV1 } from "./fields.ts";
import { managersOf, trackUpdate } from "./managers.ts";

const port = struct("t.Port", "", { port: int(""), protocol: str("", "TCP"), name: str("") });
const spec = struct("t.Spec", "", {
  ports: listBy(["port", "protocol"], port, ""),
  selector: selector(""),
  replicas: int(""),
  set: stringSet(""),
});
const meta = struct("t.Meta", "", { name: str(""), labels: labels(""), managedFields: opaque("") });
const schema = struct("t.Object", "", {
  apiVersion: str(""),
  kind: str(""),
  metadata: of(meta, ""),
  spec: of(spec, ""),
});

const author = (name: string) => ({ name, apiVersion: "v1", subresource: "", time: "2026-01-01T00:00:00Z" });
const apply = (live: JsonObject | undefined, name: string, config: JsonObject, force = false) =>
  applyConfiguration(schema, live, { metadata: { name: "x" }, ...config }, author(name), force);
const fieldsOf = (object: JsonObject, name: string) =>
  [...(managersOf(object).find((manager) => manager.name === name)?.fields ?? [])].map(readable).sort();

test("what a manager no longer applies goes, unless somebody else owns it", () => {
  let live = apply(undefined, "a", { metadata: { name: "x", labels: { one: "1", both: "2" } }, spec: { replicas: 1 } });
  live = apply(live, "b", { metadata: { name: "x", labels: { both: "2" } } });
  live = apply(live, "a", { spec: { replicas: 1 } });
  assert.deepEqual((live.metadata as JsonObject).labels, { both: "2" });
  assert.deepEqual(fieldsOf(live, "a"), [".spec.replicas"]);
});

test("items come in the order of the configuration, and those of others stay before the neighbour that they had", () => {
  const ports = (...numbers: readonly number[]) => ({ spec: { ports: numbers.map((number) => ({ port: number })) } });
  const live: JsonObject = { metadata: { name: "x" }, ...ports(1, 2, 3, 3, 4, 5) };
  const order = (...numbers: readonly number[]) =>
    listAt(apply(live, "a", ports(...numbers)), "spec", "ports").map((item) => (item as JsonObject).port);
  assert.deepEqual(order(4, 2), [1, 3, 3, 4, 2, 5]);
  assert.deepEqual(order(2, 9, 5), [1, 2, 9, 3, 3, 4, 5]);
  assert.deepEqual(order(9), [9, 1, 2, 3, 3, 4, 5]);
});

test("changing what another manager owns is a conflict that names the field and the manager", () => {
  const live = apply(undefined, "a", { spec: { replicas: 1 } });
  assert.throws(
    () => apply(live, "b", { spec: { replicas: 2 } }),
    (error) =>
      error instanceof ApiError &&
      error.code === 409 &&
      error.message === 'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
  );
  const forced = apply(live, "b", { spec: { replicas: 2 } }, true);
  assert.deepEqual(fieldsOf(forced, "a"), []);
  assert.deepEqual(fieldsOf(forced, "b"), [".spec.replicas"]);
  const shared = apply(live, "b", { spec: { replicas: 1 } });
  assert.deepEqual(fieldsOf(shared, "a"), fieldsOf(shared, "b"));
});

test("lists with keys are merged item by item", () => {
  let live = apply(undefined, "a", { spec: { ports: [{ port: 80, name: "http" }] } });
  live = apply(live, "b", { spec: { ports: [{ port: 443, name: "https" }] } });
  assert.deepEqual((live.spec as JsonObject).ports, [
    { port: 443, name: "https" },
    { port: 80, name: "http" },
  ]);
  live = apply(live, "a", { spec: { replicas: 1 } });
  assert.deepEqual((live.spec as JsonObject).ports, [{ port: 443, name: "https" }]);
  assert.deepEqual(fieldsOf(live, "b"), [
    '.spec.ports[port=443,protocol="TCP"]',
    '.spec.ports[port=443,protocol="TCP"].name',
    '.spec.ports[port=443,protocol="TCP"].port',
  ]);
});

test("an update takes the fields it changes from their owners", () => {
  const live = apply(undefined, "a", { spec: { replicas: 1, selector: { app: "x" } } });
  const after = { ...live, spec: { replicas: 3, selector: { app: "x" } } };
  const tracked = trackUpdate(schema, live, after, author("scaler"));
  assert.deepEqual(fieldsOf(tracked, "a"), [".spec.selector"]);
  assert.deepEqual(fieldsOf(tracked, "scaler"), [".spec.replicas"]);
  assert.throws(
    () => apply(tracked, "a", { spec: { replicas: 1, selector: { app: "x" } } }),
    /conflict with "scaler" using v1: .spec.replicas/,
  );
});

test("applying the same again changes nothing, the time included", () => {
  const live = apply(undefined, "a", { spec: { replicas: 1, set: ["x"], ports: [{ port: 1 }] } });
  const config = { metadata: { name: "x" }, spec: { replicas: 1, set: ["x"], ports: [{ port: 1 }] } };
  const again = applyConfiguration(schema, live, config, { ...author("a"), time: "2027-01-01T00:00:00Z" }, false);
  assert.deepEqual(again, live);
  assert.equal(listAt(again, "metadata", "managedFields").length, 1);
});

test("an object that many managers update remembers the last ten of them by name", () => {
  let live = apply(undefined, "a", {});
  for (let i = 0; i < 15; i++) {
    const after = {
      ...live,
      metadata: {
        ...(live.metadata as JsonObject),
        labels: { ...((live.metadata as JsonObject).labels as JsonObject), [`l${i}`]: "x" },
      },
    };
    const time = `2026-01-01T00:00:${String(i).padStart(2, "0")}Z`;
    live = trackUpdate(schema, live, after, { ...author(`m${i}`), time });
  }
  const names = managersOf(live).map((manager) => manager.name);
  assert.equal(names.length, 10);
  assert.equal(names[0], "ancient-changes");
  assert.equal(fieldsOf(live, "ancient-changes").length, 6);
  assert.deepEqual(fieldsOf(live, "m14"), [".metadata.labels.l14"]);
});

test("FieldsV1 comes back as it was written", () => {
  const part = fc.oneof(
    fc.string({ minLength: 1, maxLength: 5 }).map((name) => `f:${name.replaceAll("\0", "")}`),
    fc.integer().map((port) => `k:${JSON.stringify({ port })}`),
    fc.string().map((value) => `v:${JSON.stringify(value)}`),
  );
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(separator));
  fc.assert(
    fc.property(fc.uniqueArray(path, { maxLength: 12 }), (paths) => {
      const wanted = new Set(paths);
      assert.deepEqual(fromFieldsV1(toFieldsV1(wanted)), wanted);
    }),
  );
});

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ApiObject } from "../json.ts";
import { ChangeLog } from "./log.ts";
import { objectLimit, Store } from "./store.ts";

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "ptl-store-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function configMap(name: string, data: string): ApiObject {
  const metadata = { name, namespace: "default", uid: name, resourceVersion: "", creationTimestamp: "" };
  return { apiVersion: "v1", kind: "ConfigMap", metadata, data: { data } };
}

const key = (name: string) => ({ resource: "configmaps", namespace: "default", name });
const put = (name: string, data = "") => ({ key: key(name), put: configMap(name, data) });

test("what was written is there again after opening the same directory, and versions go on", (t) => {
  const path = folder(t);
  const first = new Store(path);
  first.commit([put("a"), put("b")]);
  first.commit([{ key: key("b"), delete: true }]);
  const { version } = first;
  first.close();
  const second = new Store(path);
  t.after(() => second.close());
  assert.equal(second.version, version);
  assert.deepEqual(
    second.list("configmaps").map((object) => object.metadata.name),
    ["a"],
  );
  assert.ok(Number(second.commit([put("c")])[0]?.metadata.resourceVersion) > version);
});

test("lists are in order of namespace and name, and can begin behind a key", (t) => {
  const store = new Store(folder(t));
  t.after(() => store.close());
  store.commit([put("b"), put("a"), put("c")]);
  store.commit([{ key: { resource: "configmaps", namespace: "other", name: "z" }, put: configMap("z", "") }]);
  const names = (...args: [string?, string?]) =>
    store.list("configmaps", ...args).map((object) => object.metadata.name);
  assert.deepEqual(names(), ["a", "b", "c", "z"]);
  assert.deepEqual(names("default"), ["a", "b", "c"]);
  assert.deepEqual(names("default", "default/a"), ["b", "c"]);
  assert.deepEqual(names("", "default/c"), ["z"]);
  assert.deepEqual(names("default", "default/c"), []);
});

test("a list of an earlier version is as it was then, and none is had when its changes are forgotten", (t) => {
  const store = new Store(folder(t), 50);
  t.after(() => store.close());
  const view = (args: readonly [string?, string?] = [], version = store.version) =>
    store.listAt(version, "configmaps", ...args)?.map(({ metadata, data }) => [metadata.name, data]);
  store.commit([put("a", "1"), put("b", "1"), put("d", "1")]);
  const { version } = store;
  const then = view();
  assert.deepEqual(then, view([], version));
  store.commit([put("b", "2"), put("c", "1"), { key: key("a"), delete: true }]);
  store.commit([put("b", "3"), put("a", "9"), { key: key("d"), delete: true }, { key: key("c"), delete: true }]);
  assert.deepEqual(view([], version), then);
  assert.deepEqual(view(["default", "default/a"], version), then?.slice(1));
  assert.deepEqual(view(["other"], version), []);
  assert.deepEqual(
    store.list("configmaps").map(({ metadata }) => metadata.name),
    ["a", "b"],
  );
  for (let i = 0; i < 60; i++) store.commit([put("b", String(i))]);
  assert.equal(view([], version), undefined);
});

test("changes can be read on from any remembered version, and from no other", () => {
  const log = new ChangeLog(10, { changes: 3, bytes: 1000 });
  const push = (version: number, size = 1) =>
    log.push({ type: "ADDED", version, object: configMap(`o${version}`, ""), previous: undefined }, size);
  for (let version = 11; version <= 16; version++) push(version);
  assert.equal(log.start, 13);
  assert.equal(log.after(12, 10), undefined);
  const versions = (after: number, count: number) => log.after(after, count)?.map((change) => change.version);
  assert.deepEqual(versions(13, 10), [14, 15, 16]);
  assert.deepEqual(versions(13, 1), [14]);
  assert.deepEqual(versions(16, 10), []);
  push(17, 999);
  assert.deepEqual([log.start, versions(15, 10)], [15, [16, 17]], "large changes push out more of the small ones");
  push(18, 2000);
  assert.deepEqual(
    [log.start, log.after(17, 10), versions(18, 10)],
    [18, undefined, []],
    "what is larger than the limit is not kept at all",
  );
  for (let version = 19; version < 2000; version++) push(version);
  assert.deepEqual(versions(1996, 10), [1997, 1998, 1999]);
});

test("an object that is too large is refused, with all that was to be written with it", (t) => {
  const store = new Store(folder(t));
  t.after(() => store.close());
  const { version } = store;
  const large = put("large", "x".repeat(objectLimit));
  assert.throws(
    () => store.commit([put("small"), large]),
    /too large: ConfigMap large would take more than 3145728 bytes/,
  );
  assert.deepEqual([store.version, store.count("configmaps")], [version, 0]);
  store.commit([put("small")]);
});

test("a second process is refused the directory of the first", (t) => {
  const path = folder(t);
  const store = new Store(path);
  t.after(() => store.close());
  store.commit([put("a")]);
  assert.throws(() => new Store(path), /cannot open .*objects.sqlite.*locked/);
});

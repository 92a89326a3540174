import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ManifestSource } from "../../src/kube/manifests.ts";
import { type EndpointSlice, endpointSlices } from "../../src/kube/objects/endpointslice.ts";
import type { Selection } from "../../src/kube/source.ts";
import { Follower, keepLog, thingResource, until } from "./follower.ts";

const thing = (name: string, value: unknown = 1, more = "") =>
  `{apiVersion: test.example/v1, kind: Thing, metadata: {name: ${name}${more}}, value: ${value}}\n`;

/** A directory with these files, and somebody who follows it. */
function start(t: TestContext, files: Readonly<Record<string, string>> = {}, selection?: Selection) {
  const folder = mkdtempSync(join(tmpdir(), "portolan-manifests-"));
  const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
  for (const [name, content] of Object.entries(files)) write(name, content);
  const { lines, log } = keepLog();
  const source = new ManifestSource(folder, { log });
  const follower = new Follower(source, thingResource(), selection);
  t.after(() => {
    follower.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, write, lines, source, follower };
}

/** Long enough for a change to have been taken, doubts included. */
const settle = () => delay(400);

test("the objects of all files come together, then every change of a file", async (t) => {
  const { write, folder, follower } = start(t, {
    "b.yml": `${thing("b1")}---\n${thing("b2")}`,
    "a.json":
      '{"apiVersion": "test.example/v1", "kind": "ThingList", "items": [{"metadata": {"name": "a"}, "value": 1}]}',
    "README.md": "no manifest",
    ".hidden.yaml": thing("hidden"),
  });
  await until(() => follower.synced === 1, "synced");
  assert.deepEqual(follower.events, ["+a=1", "+b1=1", "+b2=1"]);
  assert.deepEqual(follower.batches, [3]);
  write("b.yml", `${thing("b1")}---\n${thing("b3")}`);
  await until(() => follower.state === "a=1 b1=1 b3=1", "a changed file");
  assert.deepEqual(follower.events.slice(3), ["-b2", "+b3=1"]);
  write("c.yaml", thing("c"));
  await until(() => follower.things.has("c"), "a new file");
  unlinkSync(join(folder, "a.json"));
  await until(() => !follower.things.has("a"), "a file that is gone");
  assert.equal(follower.synced, 1);
});

test("a directory that comes later is read then, and what was read stays when it goes", async (t) => {
  const folder = join(start(t).folder, "later");
  const { lines, log } = keepLog();
  const follower = new Follower(new ManifestSource(folder, { log }));
  t.after(() => follower.stop());
  await until(() => lines.some((text) => text.includes("Cannot read the manifests")), "complaint");
  assert.equal(follower.synced, 0);
  mkdirSync(folder);
  writeFileSync(join(folder, "a.yaml"), thing("a"));
  await until(() => follower.synced === 1, "synced");
  rmSync(folder, { recursive: true });
  await until(() => lines.filter((text) => text.includes("Cannot read the manifests")).length === 2, "complaint");
  assert.equal(follower.state, "a=1");
});

test("an invalid file is reported with file and line, and what it said before counts while others go on", async (t) => {
  const { folder, write, follower, lines } = start(t, { "a.yaml": thing("a"), "broken.yaml": "kind: [" });
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.state, "a=1");
  assert.match(lines.join("\n"), /Refused a manifest".*err=".*broken\.yaml:1: .*remedy="It does not count until/);
  write("a.yaml", `${thing("a", 2)}---\n${thing("bad", "bad")}`);
  write("c.yaml", thing("c"));
  await until(() => follower.things.has("c"), "the other file");
  await until(
    () => lines.some((text) => text.includes(`${folder}/a.yaml:3: Thing default/bad: value: Invalid`)),
    "report",
  );
  assert.equal(follower.state, "a=1 c=1");
  write("a.yaml", `${thing("a", 3)}---\n${thing("good")}`);
  await until(() => follower.state === "a=3 c=1 good=1", "corrected");
  assert.equal(lines.filter((text) => text.startsWith("E")).length, 2, lines.join("\n"));
});

test("a save in several steps is one change", async (t) => {
  const { folder, write, follower, lines } = start(t, { "a.yaml": thing("a") });
  await until(() => follower.synced === 1, "synced");
  // An editor's dance: the file is moved away, comes back empty, then half, then whole.
  renameSync(join(folder, "a.yaml"), join(folder, "a.yaml~"));
  await delay(30);
  write("a.yaml", "");
  await delay(30);
  write("a.yaml", thing("a", 2).slice(0, 40));
  await delay(30);
  write("a.yaml", thing("a", 2));
  await until(() => follower.state === "a=2", "the change");
  await settle();
  assert.deepEqual(follower.events, ["+a=1", "~a=2"]);
  assert.equal(lines.filter((text) => text.startsWith("E")).length, 0, lines.join("\n"));
});

test("a file that is too large, or a folder with a manifest's name, is not read", async (t) => {
  const { folder, follower, lines } = start(t, { "a.yaml": thing("a"), "large.json": "" });
  truncateSync(join(folder, "large.json"), 5 * 2 ** 30);
  mkdirSync(join(folder, "folder.yaml"));
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.state, "a=1");
  assert.match(lines.join("\n"), /Refused a manifest.*large\.json: 5368709120 bytes are more than/);
});

test("a file that stays empty has no objects", async (t) => {
  const { write, follower } = start(t, { "a.yaml": thing("a") });
  await until(() => follower.synced === 1, "synced");
  write("a.yaml", "");
  await until(() => follower.state === "", "gone");
});

test("the same object in two files is an error that names both, until one of them gives it up", async (t) => {
  const { folder, write, follower, lines } = start(t, {
    "a.yaml": `${thing("other")}---\n${thing("x", 1)}`,
    "b.yaml": thing("x", 2),
  });
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.state, "other=1 x=1");
  const report = `${folder}/b.yaml:1: Thing default/x stands in ${folder}/a.yaml:3 too`;
  assert.ok(lines.join("\n").includes(report), lines.join("\n"));
  write("a.yaml", thing("other"));
  await until(() => follower.state === "other=1 x=2", "the other file's");
  write("a.yaml", thing("x", 3));
  await until(() => lines.some((text) => text.includes(`${folder}/a.yaml:1: Thing default/x stands in`)), "report");
  assert.equal(follower.state, "other=1 x=2");
  write("b.yaml", thing("x", 4).repeat(2).replace("}\n{", "}\n---\n{"));
  await until(
    () => lines.some((text) => text.includes(`${folder}/b.yaml:3: Thing default/x stands in line 1 too`)),
    "twice",
  );
});

test("an object moves from one file to another without being gone", async (t) => {
  const { write, follower } = start(t, { "a.yaml": "", "b.yaml": thing("x") });
  await until(() => follower.synced === 1, "synced");
  write("a.yaml", thing("x", 2));
  write("b.yaml", thing("z"));
  await until(() => follower.things.has("z"), "moved");
  assert.deepEqual(follower.events, ["+x=1", "~x=2", "+z=1"]);
});

test("a mounted ConfigMap, whose folder is swapped by a link, is read anew", async (t) => {
  const { folder, follower } = start(t);
  for (const [version, value] of [
    ["v1", 1],
    ["v2", 2],
  ] as const) {
    mkdirSync(join(folder, `..${version}`));
    writeFileSync(join(folder, `..${version}`, "a.yaml"), thing("a", value));
  }
  symlinkSync("..v1", join(folder, "..data"));
  symlinkSync("..data/a.yaml", join(folder, "a.yaml"));
  await until(() => follower.state === "a=1", "the first");
  symlinkSync("..v2", join(folder, "..new"));
  renameSync(join(folder, "..new"), join(folder, "..data"));
  await until(() => follower.state === "a=2", "the second");
});

test("selections are kept as an API server would", async (t) => {
  const files = {
    "a.yaml": [
      thing("a", 1, ", namespace: shop"),
      thing("b", 1, ", namespace: shop, labels: {canary: ''}"),
      thing("c", 1, ", namespace: other"),
    ].join("---\n"),
  };
  const { follower, source } = start(t, files, { namespace: "shop", labels: "!canary" });
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.state, "a=1");
  const late = new Follower(source);
  await until(() => late.synced === 1, "who comes later is told too");
  assert.equal(late.state, "a=1 b=1 c=1");
  late.stop();
  assert.throws(() => new Follower(source, thingResource(), { labels: "(" }));
});

test("Endpoints are followed as EndpointSlices, and other kinds are mentioned once", async (t) => {
  const endpoints =
    "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: [{addresses: [{ip: 10.0.0.1}]}]\n";
  const pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";
  const { source, lines, write } = start(t, { "a.yaml": `${endpoints}${pod}${pod.replace("name: p", "name: q")}` });
  const slices: EndpointSlice[] = [];
  const stop = new AbortController();
  t.after(() => stop.abort());
  const onEvents = (events: readonly { readonly object: EndpointSlice }[]) => {
    slices.push(...events.map(({ object }) => object));
  };
  source.watch({ resource: endpointSlices, onEvents, onSynced() {} }, stop.signal);
  await until(() => slices.length === 1, "a slice");
  assert.equal(slices[0]?.service, "web");
  write("b.yaml", pod.replace("name: p", "name: r"));
  await settle();
  assert.equal(lines.filter((text) => text.includes("a kind that is not used here")).length, 1, lines.join("\n"));
  assert.match(lines.join("\n"), /kind="Pod \(v1\)"/);
});

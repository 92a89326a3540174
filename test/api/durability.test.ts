/** What was acknowledged is there after the worst; what could not be written was not acknowledged. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Api, internal } from "../../src/kube/server/api.ts";
import { ApiError } from "../../src/kube/server/errors.ts";
import { configMap } from "../../src/kube/server/kinds/config.ts";
import { startApiServer } from "../../src/kube/server/server.ts";
import { Store } from "../../src/kube/server/store/store.ts";

const program = `
import { startApiServer } from ${JSON.stringify(join(import.meta.dirname, "../../src/kube/server/server.ts"))};
import { configMap } from ${JSON.stringify(join(import.meta.dirname, "../../src/kube/server/kinds/config.ts"))};
import { internal } from ${JSON.stringify(join(import.meta.dirname, "../../src/kube/server/api.ts"))};
import { writeSync } from "node:fs";
const server = await startApiServer({ directory: process.argv[2] });
for (let i = Number(process.argv[3]); ; i++) {
  server.api.create(configMap, "default", { metadata: { name: "c" + i }, data: { k: "x".repeat(2000) } }, internal);
  writeSync(1, i + "\\n");
  if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
`;

test("every acknowledged write survives kill -9, three times over", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ptl-kill-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const script = join(directory, "writer.ts");
  writeFileSync(script, program);
  const data = join(directory, "data");
  let next = 0;
  const written: { from: number; last: number }[] = [];
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [script, data, String(next)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.length > 3000) child.kill("SIGKILL");
    });
    await once(child, "close");
    const last = Number(output.slice(0, output.lastIndexOf("\n")).split("\n").at(-1));
    assert.ok(last > next);
    const store = new Store(join(data, "store"));
    try {
      written.push({ from: next, last });
      for (const i of written.flatMap((range) =>
        Array.from({ length: range.last - range.from + 1 }, (_, k) => range.from + k),
      )) {
        assert.ok(
          store.get({ resource: "configmaps", namespace: "default", name: `c${i}` }) !== undefined,
          `c${i} of ${last} is lost`,
        );
      }
      next = last + 2;
      const newest = Math.max(...store.list("configmaps").map((object) => Number(object.metadata.resourceVersion)));
      assert.ok(store.version >= newest);
    } finally {
      store.close();
    }
  }
});

test("a server that starts again has the same objects, authority and token", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ptl-again-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const first = await startApiServer({ directory });
  first.api.create(configMap, "default", { metadata: { name: "kept" } }, internal);
  const ip = first.api.list("services", "default")[0]?.spec;
  await first.stop();
  const second = await startApiServer({ directory });
  t.after(() => second.stop());
  assert.deepEqual(second.credentials, first.credentials);
  assert.equal(second.api.get(configMap, "default", "kept").metadata.name, "kept");
  assert.deepEqual(second.api.list("services", "default")[0]?.spec, ip);
  assert.match(readFileSync(second.kubeconfig, "utf8"), new RegExp(`server: ${second.url}`));
});

const isRoot = process.getuid?.() === 0;

test("a full disk refuses the write with 507, keeps what was there, and heals with room", {
  skip: isRoot ? false : "mounting a small disk needs root",
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ptl-full-"));
  const disk = join(directory, "disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
  let store: Store | undefined;
  t.after(() => {
    store?.close();
    execFileSync("umount", ["-l", disk]);
    rmSync(directory, { recursive: true, force: true });
  });
  store = new Store(join(disk, "store"));
  const api = new Api(store, { now: Date.now, nodePorts: { first: 30_000, last: 30_100 }, random: Math.random });
  const { namespace } = await import("../../src/kube/server/kinds/cluster.ts");
  api.create(namespace, "", { metadata: { name: "default" } }, internal);
  const ballast = join(disk, "ballast");
  writeFileSync(ballast, Buffer.alloc(300 * 1024));
  const make = (i: number) =>
    api.create(configMap, "default", { metadata: { name: `c${i}` }, data: { k: "x".repeat(20_000) } }, internal);
  let stored = 0;
  assert.throws(
    () => {
      for (; stored < 1000; stored++) make(stored);
    },
    (error) =>
      error instanceof ApiError &&
      error.code === 507 &&
      error.reason === "InsufficientStorage" &&
      /disk .* is full/.test(error.message),
  );
  assert.ok(stored > 0 && stored < 1000);
  const { version } = store;
  assert.throws(() => make(stored), ApiError);
  assert.equal(store.version, version, "a refused write leaves no trace");
  assert.equal(store.count("configmaps"), stored);
  rmSync(ballast);
  make(stored);
  store.close();
  store = new Store(join(disk, "store"));
  assert.equal(store.count("configmaps"), stored + 1);
});

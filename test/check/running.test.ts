/** What is seen of a machine while it runs: the lock of iptables, the tracker's counts, the metrics of the real proxy. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lookAtRunning } from "../../src/check/running.ts";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { xtablesLockHolder } from "../../src/kernel/xtables/lock.ts";
import { eventually, hello, Machine } from "../proxy/machine.ts";

const { signal } = new AbortController();

test("whoever holds the lock of iptables is named, and nobody if it is free", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ptl-lock-"));
  const lock = join(folder, "xtables.lock");
  process.env.XTABLES_LOCKFILE = lock;
  try {
    assert.equal(xtablesLockHolder(), undefined);
    writeFileSync(lock, "");
    assert.equal(xtablesLockHolder(), undefined);
    const holder = spawn("flock", ["--no-fork", lock, "sh", "-c", "echo ready; read x"], { stdio: "pipe" });
    await once(holder.stdout, "data");
    const seen = xtablesLockHolder();
    assert.equal(seen?.processId, holder.pid);
    assert.equal(seen?.processName, "sh");
    assert.ok(seen.age < 10, `${seen.age} s`);
    assert.equal((await lookAtRunning(undefined, undefined, signal)).lock?.processId, holder.pid);
    holder.stdin.end("\n");
    await once(holder, "close");
    assert.equal(xtablesLockHolder(), undefined);
  } finally {
    delete process.env.XTABLES_LOCKFILE;
    rmSync(folder, { recursive: true });
  }
});

test("the proxy's metrics tell when it was told of changes and when it applied them", async (t) => {
  const machine = await Machine.make(t);
  machine.write("hello.yaml", hello("10.244.0.11"));
  await machine.start("--manifests", machine.directory, "--proxy-mode", "nftables");
  enterNamespace(machine.node);
  const began = Date.now() / 1000;
  machine.write("hello.yaml", hello("10.244.0.12"));
  await eventually("the change is told of and applied", async () => {
    const { sync, tracker } = await lookAtRunning(undefined, undefined, signal);
    assert.ok(tracker && tracker.after.at >= tracker.before.at);
    return sync !== undefined && sync.queued > began - 1 && sync.applied >= sync.queued;
  });
});

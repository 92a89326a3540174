import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { parseFlags } from "../config/flags.ts";
import { systemClock } from "../telemetry/clock.ts";
import { silentLogger } from "../telemetry/log.ts";
import { proxyFlags } from "./config/flags.ts";
import { resolveOptions } from "./config/options.ts";
import { watchFile } from "./config/watch.ts";
import { Reloads } from "./reload.ts";

const options = (...args: readonly string[]) =>
  resolveOptions(parseFlags(proxyFlags, args), () => "", ["nftables", "iptables"]);

test("only valid configurations that differ are handed out, and none is lost", async () => {
  const queue = [
    options(),
    options("--proxy-mode=iptables"),
    new Error("wrong"),
    options("--proxy-mode=nftables"),
    options("--masquerade-all"),
  ];
  const refused: unknown[] = [];
  const read = async () => {
    const next = queue.shift();
    if (next instanceof Error || next === undefined) throw next;
    return next;
  };
  const reloads = new Reloads(options(), { read, onRefused: (error) => refused.push(error), log: silentLogger });
  const first = reloads.next();
  reloads.request();
  reloads.request();
  assert.equal((await first).config.mode, "iptables");
  reloads.request();
  reloads.request();
  reloads.request();
  while (queue.length > 0) await new Promise(setImmediate);
  await new Promise(setImmediate);
  // Of two that came meanwhile, the last one counts.
  assert.equal((await reloads.next()).config.nftables.masqueradeAll, true);
  assert.equal(refused.length, 1);
});

async function follow(t: TestContext, path: string) {
  const texts: string[] = [];
  const stop = new AbortController();
  t.after(() => stop.abort());
  watchFile(path, (text) => texts.push(text), { clock: systemClock, log: silentLogger }, stop.signal);
  return async (count: number) => {
    const end = Date.now() + 3000;
    while (texts.length < count && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
    return texts;
  };
}

test("a file is followed through writing, renaming and ConfigMap mounts", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "portolan-watch-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "config");
  writeFileSync(path, "one");
  const changes = await follow(t, path);
  writeFileSync(path, "two");
  assert.deepEqual(await changes(1), ["two"]);
  writeFileSync(join(directory, "new"), "three");
  renameSync(join(directory, "new"), path);
  assert.deepEqual(await changes(2), ["two", "three"]);

  // A mounted ConfigMap: config -> ..data/config, ..data -> a folder, replaced by renaming the link.
  const mount = mkdtempSync(join(tmpdir(), "portolan-watch-"));
  t.after(() => rmSync(mount, { recursive: true }));
  const version = (name: string, text: string) => {
    const folder = mkdtempSync(join(mount, name));
    writeFileSync(join(folder, "config"), text);
    symlinkSync(folder, join(mount, "..tmp"));
    renameSync(join(mount, "..tmp"), join(mount, "..data"));
  };
  version("a", "one");
  symlinkSync(join("..data", "config"), join(mount, "config"));
  const mounted = await follow(t, join(mount, "config"));
  version("b", "two");
  assert.deepEqual(await mounted(1), ["two"]);

  // A link to a file elsewhere, which is written in place, then replaced; then the link itself leads elsewhere.
  const link = join(mount, "link");
  symlinkSync(path, link);
  const linked = await follow(t, link);
  writeFileSync(path, "four");
  assert.deepEqual(await linked(1), ["four"]);
  writeFileSync(join(directory, "new"), "five");
  renameSync(join(directory, "new"), path);
  assert.deepEqual(await linked(2), ["four", "five"]);
  symlinkSync(join("..data", "config"), join(mount, "link.new"));
  renameSync(join(mount, "link.new"), link);
  assert.deepEqual(await linked(3), ["four", "five", "two"]);
  writeFileSync(join(mount, "..data", "config"), "six");
  assert.deepEqual(await linked(4), ["four", "five", "two", "six"]);
});

import assert from "node:assert/strict";
import test from "node:test";
import { errorText, formatJson, formatText, LogWriter, parseModules } from "./log.ts";

const time = new Date(2026, 10, 21, 9, 5, 7, 42).getTime();

function recorder(options: ConstructorParameters<typeof LogWriter>[1] = {}) {
  const lines: string[] = [];
  const log = new LogWriter({ clock: { now: () => time }, pid: 123, write: (line) => lines.push(line) }, options);
  return { log, lines };
}

test("a text line has klog's header, the quoted message and quoted strings", () => {
  const line = formatText({
    severity: "I",
    verbosity: 0,
    message: "Pod status updated",
    fields: { pod: { namespace: "kube-system", name: "dns" }, count: 3, ready: true, status: 'so "so"', list: ["a"] },
    time,
    pid: 123,
    caller: "runner.ts:52",
  });
  assert.equal(
    line,
    'I1121 09:05:07.042000     123 runner.ts:52] "Pod status updated" pod="kube-system/dns" count=3 ready=true status="so \\"so\\"" list=["a"]',
  );
});

test("a text value of several lines is indented below its key", () => {
  const { log, lines } = recorder();
  log.info("Refused", { rules: "one\ntwo\n" });
  assert.match(lines[0] ?? "", /"Refused" rules=<\n\tone\n\ttwo\n >\n$/);
});

test("a JSON line has ts, caller, msg and, for information only, v", () => {
  const entry = { severity: "I", verbosity: 4, message: "Synced", time, pid: 1, caller: "a.ts:1" } as const;
  const fields = { service: { namespace: "shop", name: "web" }, msg: "clash" };
  assert.deepEqual(JSON.parse(formatJson({ ...entry, fields })), {
    ts: time,
    caller: "a.ts:1",
    msg: "Synced",
    v: 4,
    service: { namespace: "shop", name: "web" },
    msg_: "clash",
  });
  const failed = JSON.parse(formatJson({ ...entry, severity: "E", fields: { err: new Error("no") } }));
  assert.deepEqual(failed, { ts: time, caller: "a.ts:1", msg: "Synced", err: "no" });
});

test("debug lines are written from their verbosity on", () => {
  const { log, lines } = recorder({ verbosity: 2 });
  log.debug(2, "Two");
  log.debug(3, "Three");
  assert.equal(lines.length, 1);
  log.options = { ...log.options, verbosity: 3 };
  log.debug(3, "Three");
  assert.equal(lines.length, 2);
});

test("vmodule raises the verbosity of matching files", () => {
  const { log, lines } = recorder({ modules: parseModules("other=9,log.*=4") });
  log.debug(4, "Four");
  log.debug(5, "Five");
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", / log\.test\.ts:\d+\] "Four"\n$/);
});

test("vmodule is refused with the part that is wrong", () => {
  assert.throws(() => parseModules("a=1,b"), /"b" is not like file=level/);
});

test("a logger with fields adds them to every line, after the error, and reports its caller", () => {
  const { log, lines } = recorder();
  log.with({ mode: "nftables" }).with({ family: "IPv4" }).error(new Error("busy"), "Sync failed", { try: 2 });
  assert.match(
    lines[0] ?? "",
    /^E1121 .* log\.test\.ts:\d+\] "Sync failed" err="busy" mode="nftables" family="IPv4" try=2\n$/,
  );
});

test("the text of an error includes its causes once", () => {
  assert.equal(errorText(new Error("outer", { cause: new Error("inner") })), "outer: inner");
  assert.equal(errorText(new Error("outer: inner", { cause: new Error("inner") })), "outer: inner");
  assert.equal(errorText("text"), "text");
});

/** The program as users start it: the launcher, help, version, completion, exit statuses. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { commandHelp } from "../../src/cli/command.ts";
import { commands } from "../../src/cli/commands.ts";

const root = join(import.meta.dirname, "../..");
const program = join(root, "portolan");

function run(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(file, args, {
    encoding: "utf8",
    env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: "/proc/nothing", ...env },
  });
  return { status, out: stdout, err: stderr };
}

test("without a command the overview goes to standard error, with --help to standard output", () => {
  const bare = run(program, []);
  assert.equal(bare.status, 2);
  assert.equal(bare.out, "");
  const asked = run(program, ["--help"]);
  assert.equal(asked.status, 0);
  assert.equal(asked.out, bare.err);
  for (const { name } of commands) assert.match(asked.out, new RegExp(`^ {2}${name} `, "m"));
});

test("an unknown command is wrong usage, and the one that was meant is named", () => {
  const { status, err } = run(program, ["proxi"]);
  assert.equal(status, 2);
  assert.match(err, /^Error: unknown command "proxi": did you mean proxy\?\nSee "portolan help"\.\n$/);
});

test("every command's help begins with examples and fits 80 columns", async () => {
  for (const { name, summary, load } of commands) {
    const command = await load();
    assert.equal(command.summary, summary);
    const help = commandHelp(command);
    assert.match(help, new RegExp(`^portolan ${name}: .*\\n\\nExamples:\\n {2}# `));
    for (const line of help.split("\n")) assert.ok(line.length <= 80 || line.includes("portolan"), `${name}: ${line}`);
  }
});

test("commands of the lab refuse what they would pass over, for it may be the name of a lab", () => {
  for (const command of ["up", "down", "reset", "netem"]) {
    const { status, err } = run(program, ["lab", command, "--name", "nobodys", "other"]);
    assert.equal(status, 2, command);
    assert.match(err, /unexpected argument "other": a lab is named with --name other/);
  }
});

test("the help of a command is the same both ways", () => {
  assert.equal(run(program, ["lab", "help", "up"]).out, run(program, ["lab", "up", "--help"]).out);
  assert.equal(run(program, ["lab", "help"]).out, run(program, ["help", "lab"]).out);
  assert.equal(run(program, ["help", "version"]).out, run(program, ["version", "--help"]).out);
  assert.equal(run(program, ["help", "proxy"]).out, run(program, ["proxy", "-h"]).out);
});

test("the version is for people and for programs", () => {
  assert.match(run(program, ["--version"]).out, /^portolan \d+\.\d+\.\d+ \(Node v/);
  const { version, node } = JSON.parse(run(program, ["version", "-o", "json"]).out);
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.equal(node, process.version);
  assert.equal(run(program, ["version", "-o", "xml"]).status, 2);
});

test("bin/kube-proxy takes kube-proxy's flags directly", () => {
  const { status, out } = run(join(root, "bin/kube-proxy"), ["--version"]);
  assert.equal(status, 0);
  assert.match(out, /^portolan \d/);
  assert.match(run(join(root, "bin/kube-proxy"), ["--proxy_mode"]).err, /--proxy-mode needs an argument/);
});

test("the launcher follows symbolic links and passes over a Node that is too old", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "portolan-cli-"));
  t.after(() => rmSync(directory, { recursive: true }));
  symlinkSync(program, join(directory, "one"));
  symlinkSync("one", join(directory, "two"));
  assert.equal(run(join(directory, "two"), ["version"]).status, 0);
  writeFileSync(join(directory, "node"), "#!/bin/sh\necho v20.19.0\n", { mode: 0o755 });
  const { status, out, err } = run(program, ["version"], { PATH: `${directory}:/usr/bin:/bin` });
  if (status === 0) assert.doesNotMatch(out, /v20/);
  else assert.match(err, /^portolan: needs Node 24\.11 or newer/);
});

test("the completion script of bash completes commands, flags and arguments", () => {
  const script = run(program, ["completion", "bash"]).out;
  const complete = (...words: readonly string[]) => {
    const line = `${script}\nCOMP_WORDS=(portolan ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _portolan; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return run("bash", ["-c", line]).out.trim().split("\n");
  };
  assert.deepEqual(complete("ver"), ["version"]);
  assert.deepEqual(complete("proxy", "--nodeport"), ["--nodeport-addresses"]);
  assert.deepEqual(complete("completion", "z"), ["zsh"]);
  assert.ok(complete("help", "").includes("proxy"));
});

test("the completion scripts of zsh and fish know every command and flag", async () => {
  for (const shell of ["zsh", "fish"]) {
    const { status, out } = run(program, ["completion", shell]);
    assert.equal(status, 0);
    for (const { name, load } of commands) {
      assert.match(out, new RegExp(`\\b${name}\\b`));
      for (const flag of Object.keys((await load()).flags)) assert.ok(out.includes(flag), `${shell}: ${name} ${flag}`);
    }
  }
  assert.equal(run(program, ["completion", "tcsh"]).status, 2);
});

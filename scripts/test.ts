/**
 * Runs the checks and tests of this repository: `npm test`, `npm run check` for the static part alone.
 * `npm test -- unit`, `npm test -- kernel` and `npm test -- PATH...` run a part; `npm run test:long` runs the
 * files named `*.long.test.ts` alone, which try the same things for minutes rather than seconds.
 * Exits 0 if everything passed, 1 if not, 2 for wrong usage. In CI a skipped test is a failure.
 */
import { spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative } from "node:path";
import { run } from "node:test";
import { mayAdministerNetworks, restartInNewWorld, whyNoWorld } from "../src/kernel/rootless.ts";
import { checkLayers } from "./layers.ts";

const root = process.cwd();

/** What of test/ needs no privileges; everything else makes network namespaces. */
const unprivileged = [
  "test/api/",
  "test/cli/",
  "test/flows/decisions.test.ts",
  "test/flows/format.test.ts",
  "test/golden/",
  "test/kube/",
];

interface Failure {
  readonly title: string;
  readonly detail: string;
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const failures: Failure[] = [];
const skips: string[] = [];

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs a static check as one test. */
async function check(name: string, work: () => Promise<string>): Promise<void> {
  const start = performance.now();
  const problem = await work();
  say(`${problem === "" ? "ok  " : "FAIL"} ${name} (${seconds(performance.now() - start)})`);
  if (problem === "") counts.passed++;
  else counts.failed++;
  if (problem !== "") failures.push({ title: name, detail: problem });
}

/** The output of a program that failed; empty if it succeeded. */
function outputIfFailed(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    child.on("close", (code) => resolve(code === 0 ? "" : output || `exit status ${code}`));
  });
}

async function staticChecks(): Promise<void> {
  await Promise.all([
    check("types (tsc)", () => outputIfFailed("node_modules/typescript/bin/tsc", ["-p", "."])),
    check("lint and format (biome)", () => outputIfFailed("node_modules/@biomejs/biome/bin/biome", ["ci", "."])),
    check("imports point down the list of folders", async () => checkLayers().join("\n")),
  ]);
}

/** Runs test files, each in a process of its own, and says how each went as soon as it is done. */
async function testFiles(files: readonly string[], concurrency: number, limit = 240_000): Promise<void> {
  if (files.length === 0) return;
  const stream = run({ files: [...files], concurrency, timeout: limit });
  const nameOf = (file: string | undefined) => relative(root, file ?? "?");
  stream.on("test:pass", (data) => {
    if (data.details.type === "suite" || isFile(data.name, data.file)) return;
    if (data.skip !== undefined && data.skip !== false) {
      counts.skipped++;
      skips.push(`${nameOf(data.file)}: ${data.name}${typeof data.skip === "string" ? `: ${data.skip}` : ""}`);
    } else {
      counts.passed++;
    }
  });
  stream.on("test:fail", (data) => {
    const cause = data.details.error?.cause ?? data.details.error;
    if (data.details.type === "suite" && String(cause).includes("subtest")) return;
    const name = nameOf(data.file);
    counts.failed++;
    const detail = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    failures.push({ title: `${name}: ${data.name}`, detail });
    say(`FAIL ${name}: ${data.name}\n     ${detail.split("\n", 1)[0]}`);
  });
  stream.on("test:summary", ({ file, counts: { tests, passed, skipped, todo }, duration_ms, success }) => {
    if (file === undefined) return;
    const failed = tests - passed - skipped - todo;
    const parts = [`${passed} passed`];
    if (failed > 0) parts.push(`${failed} failed`);
    if (skipped > 0) parts.push(`${skipped} skipped`);
    say(`${success ? "ok  " : "FAIL"} ${nameOf(file)} (${parts.join(", ")}, ${seconds(duration_ms)})`);
  });
  stream.on("test:stderr", (data) => {
    if (process.env.VERBOSE !== undefined) process.stderr.write(data.message);
  });
  for await (const _ of stream);
}

/** Folders whose files take longest: they begin first, so that none of them is alone at the end. */
const slow = ["test/vm/", "test/lab/", "test/api/", "test/check/", "test/flows/"];

function slowFirst(files: readonly string[]): readonly string[] {
  const rank = (file: string) => {
    const index = slow.findIndex((folder) => file.startsWith(folder));
    return index < 0 ? slow.length : index;
  };
  return files.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Whether a file is for `npm run test:long`. */
function isLong(file: string): boolean {
  return file.endsWith(".long.test.ts");
}

/** Set for those that are root in a world alone. */
const worldVariable = "PORTOLAN_TEST_WORLD";

/**
 * What of test/ needs the machine's root: it changes its user, hands the kernel more at once than others may, or takes
 * the owners of the machine's files as they are.
 */
const machineRoot = [
  "test/kernel/iptables-traffic.test.ts",
  "test/kernel/nftables-mode.test.ts",
  "test/proxy/configuration.test.ts",
  "test/vm/",
];

/** Leaves out, and counts as skipped, the files that need privileges which we have not. */
function possible(files: readonly string[]): readonly string[] {
  return files.filter((file) => {
    const why = whyImpossible(file);
    if (why === undefined) return true;
    counts.skipped++;
    skips.push(`${file}: ${why}`);
    return false;
  });
}

function whyImpossible(file: string): string | undefined {
  if (process.env[worldVariable] !== undefined && machineRoot.some((start) => file.startsWith(start)))
    return "needs the machine's root";
  if (mayAdministerNetworks() || unprivileged.some((start) => file.startsWith(start))) return undefined;
  return "needs root, or user namespaces, to make network namespaces";
}

/** Without root, goes on in a world where we are root all the same; where there can be none, says why. */
function becomeRoot(): void {
  if (mayAdministerNetworks()) return;
  const why = whyNoWorld();
  if (why === undefined) restartInNewWorld(root, { ...process.env, [worldVariable]: "1" });
  say(`There is no root here, and no user namespace: ${why}`);
}

/** Whether an event speaks of a whole file, which the runner reports like a test. */
function isFile(name: string, file: string | undefined): boolean {
  return name.endsWith(".test.ts") && (file === undefined || file.endsWith(name) || relative(root, file) === name);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

async function main(parts: readonly string[]): Promise<number> {
  const wants = (part: string) => parts.length === 0 || parts.includes(part);
  const paths = parts.filter((part) => !["static", "unit", "kernel", "long"].includes(part));
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length > 0) {
    process.stderr.write(
      `no such file: ${missing.join(", ")}\nusage: npm test -- [static] [unit] [kernel] [long] [PATH...]\n`,
    );
    return 2;
  }
  if (wants("kernel") || parts.includes("long") || paths.length > 0) becomeRoot();
  if (wants("static")) await staticChecks();
  if (wants("unit")) await testFiles(globSync("src/**/*.test.ts").sort(), availableParallelism());
  if (wants("kernel")) {
    // Tests of running programs wait more than they compute.
    await testFiles(
      possible(slowFirst(globSync("test/**/*.test.ts").filter((file) => !isLong(file)))),
      availableParallelism() + 1,
    );
  }
  if (parts.includes("long")) {
    await testFiles(possible(globSync("test/**/*.long.test.ts").sort()), 1, 3_600_000);
  }
  await testFiles(paths, 1);
  for (const { title, detail } of failures) say(`\n--- ${title}\n${detail}`);
  if (skips.length > 0) say(`\nskipped:\n${skips.map((skip) => `  ${skip}`).join("\n")}`);
  const ci = process.env.CI !== undefined && process.env.CI !== "" && process.env.CI !== "false";
  if (ci && skips.length > 0) say("In CI every test must run: the skipped ones count as failures.");
  say(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return counts.failed > 0 || (ci && counts.skipped > 0) ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));

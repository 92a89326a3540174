/** Labs from outside: started, found, ended. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { signalProcess } from "../kernel/programs.ts";
import { systemClock } from "../telemetry/clock.ts";
import { type ControlRequest, control, type LabStatus } from "./control.ts";
import { labCommand } from "./plan/names.ts";
import { type LabSpec, type LabWishes, makeSpec } from "./plan/spec.ts";
import { LabFolder } from "./state.ts";
import { handPort, sweepLab, takePort } from "./world.ts";

/** What became of a wish for a lab. */
export interface UpResult {
  /** False if it ran already. */
  readonly started: boolean;
  /** Whether the lab is what was wished for: one that ran already may be another. */
  readonly granted: boolean;
  readonly status: LabStatus;
}

const program = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
/** Milliseconds until a lab must be ready. */
const startPatience = 60_000;
/** Milliseconds that a supervisor has to end orderly. */
const stopPatience = 15_000;
const look = 40;
/** Bytes after which the log of a lab is put aside when it is started. */
const longLog = 1 << 20;
/** Characters of a log that an error shows. */
const tail = 2000;

/** The wishes of somebody who may have left some open: those are as the lab was before, or as is usual. */
export type PartialWishes = Pick<LabWishes, "name"> & Partial<LabWishes>;

/**
 * Makes a lab run, in the background, and waits until it is ready. One that runs already is left as it is; one that
 * was down comes back with its nodes and objects, unless `wishes` asks for others.
 *
 * @param progress is told what is being done.
 * @throws an Error with the reason and the end of the log if it cannot be started.
 */
export async function up(
  wishes: PartialWishes,
  progress: (text: string) => void,
  signal: AbortSignal,
): Promise<UpResult> {
  const folder = new LabFolder(wishes.name);
  const { name } = wishes;
  if (folder.supervisor() !== undefined) {
    const status = await untilReady(folder, progress, signal);
    return { started: false, granted: isGranted(wishes, status.nodes), status };
  }
  const before = folder.read();
  folder.write({ spec: specFor(wishes, before?.spec), apiPort: before?.apiPort ?? 0 });
  const began = logLength(folder);
  const supervisor = startSupervisor(folder, name);
  return { started: true, granted: true, status: await untilReady(folder, progress, signal, { supervisor, began }) };
}

/** Whether a lab is what the wishes ask for; what they leave open may be anything. */
function isGranted({ nodes, mode = "", dualStack, zones = [] }: PartialWishes, found: LabStatus["nodes"]): boolean {
  return (
    (nodes ?? found.length) === found.length &&
    zones.every((wanted) => found.some(({ zone }) => zone === wanted)) &&
    found.every(
      (node) =>
        (mode === "" || node.state === "stopped" || node.mode === mode) &&
        (dualStack ?? node.addresses.length > 1) === node.addresses.length > 1,
    )
  );
}

/** The lab that is wished for: what the wishes leave open is as it was before, or as is usual. */
function specFor(wishes: PartialWishes, before: LabSpec | undefined): LabSpec {
  const usual = { nodes: 2, mode: "", dualStack: false, zones: [] };
  if (before === undefined) return makeSpec({ ...usual, ...wishes });
  const { name, mode = before.mode, dualStack } = wishes;
  if (dualStack !== undefined && dualStack !== before.families.length > 1) {
    throw new Error(`lab ${name} has the address families that it was made with: ${labCommand(name, "reset")} first`);
  }
  if (wishes.nodes === undefined && wishes.zones === undefined) return { ...before, mode };
  const { nodes = before.nodes.length, zones = before.nodes.map(({ zone }) => zone).filter(Boolean) } = wishes;
  return makeSpec({ name, mode, dualStack: before.families.length > 1, nodes, zones });
}

/** Ends a lab; what its API holds stays for the next time. @returns whether there was anything to end. */
export async function down(name: string): Promise<boolean> {
  const folder = new LabFolder(name);
  const pid = folder.supervisor();
  if (pid !== undefined) {
    signalProcess(pid, "SIGTERM");
    const end = systemClock.monotonic() + stopPatience;
    while (folder.supervisor() !== undefined) {
      if (systemClock.monotonic() > end) signalProcess(pid, "SIGKILL");
      await systemClock.sleep(look, AbortSignal.timeout(startPatience));
    }
  }
  // What a crash, or a reboot, left behind.
  sweepLab(name);
  const known = folder.exists;
  folder.removeTraces();
  folder.release();
  return pid !== undefined || known;
}

/** Ends a lab and forgets it. */
export async function reset(name: string): Promise<void> {
  await down(name);
  new LabFolder(name).remove();
}

/** Asks the supervisor of a lab for something. @throws an Error if the lab does not run, or refuses. */
export function ask(name: string, request: ControlRequest, signal: AbortSignal): Promise<unknown> {
  const folder = runningLab(name);
  return control(folder.socket, request, signal);
}

/** How a lab is; undefined if it does not run. */
export async function statusOf(name: string, signal: AbortSignal): Promise<LabStatus | undefined> {
  const folder = new LabFolder(name);
  if (folder.supervisor() === undefined) return undefined;
  return (await control(folder.socket, { op: "status" }, signal)) as LabStatus;
}

/** The folder of a lab that runs. @throws an Error that says how to start it if it does not. */
export function runningLab(name: string): LabFolder {
  const folder = new LabFolder(name);
  if (folder.supervisor() === undefined) {
    throw new Error(`lab ${name} does not run: start it with ${labCommand(name, "up")}`);
  }
  return folder;
}

function startSupervisor(folder: LabFolder, name: string): ChildProcess {
  mkdirSync(folder.path, { recursive: true, mode: 0o700 });
  if (logLength(folder) > longLog) renameSync(folder.log, `${folder.log}.1`);
  const log = openSync(folder.log, "a");
  const { env, files } = handPort(takePort());
  try {
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", program, "lab", "supervise", "--name", name],
      { detached: true, stdio: ["ignore", log, log, ...files], cwd: "/", env },
    );
    child.unref();
    if (child.pid === undefined) throw new Error("the supervisor cannot be started");
    return child;
  } finally {
    for (const fd of [log, ...files]) closeSync(fd);
  }
}

async function untilReady(
  folder: LabFolder,
  progress: (text: string) => void,
  signal: AbortSignal,
  { supervisor, began = 0 }: { readonly supervisor?: ChildProcess; readonly began?: number } = {},
): Promise<LabStatus> {
  const end = systemClock.monotonic() + startPatience;
  let said = "";
  let seen = false;
  for (;;) {
    signal.throwIfAborted();
    // It may have ended because another one was faster.
    const over = seen || (supervisor !== undefined && (supervisor.exitCode ?? supervisor.signalCode) !== null);
    const alive = folder.supervisor() !== undefined;
    if (over && !alive) throw new Error(`the lab's supervisor ended while it was starting:\n${logTail(folder, began)}`);
    if (systemClock.monotonic() > end)
      throw new Error(`the lab did not become ready within ${startPatience / 1000} s:\n${logTail(folder, began)}`);
    seen ||= alive;
    if (alive) {
      const status = (await control(folder.socket, { op: "status" }, signal).catch(() => undefined)) as
        | LabStatus
        | undefined;
      if (status?.phase === "ready") return status;
      if (status?.phase === "failed") throw new Error(status.message);
      if (status !== undefined && status.message !== said) progress(status.message);
      said = status?.message ?? said;
    }
    await systemClock.sleep(look, signal);
  }
}

function logLength({ log }: LabFolder): number {
  return statSync(log, { throwIfNoEntry: false })?.size ?? 0;
}

/** The end of a lab's log, of what was written from an offset on. */
function logTail({ log }: LabFolder, from: number): string {
  try {
    const text = readFileSync(log);
    // One that was put aside begins anew.
    const own = text.subarray(text.length < from ? 0 : from).toString();
    return own.length > tail ? `...\n${own.slice(-tail).replace(/^.*\n/, "")}` : own || "it said nothing";
  } catch {
    return "there is no log";
  }
}

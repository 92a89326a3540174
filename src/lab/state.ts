/**
 * What a lab keeps on disk, in one folder:
 *
 * - `lab.json`: what it is to be
 * - `api/`: the API server's objects, keys and kubeconfig
 * - `nodes/NODE/`: configuration, kubeconfig and log of the node's proxy
 * - `pods/`: logs and files of pods that run
 * - `supervisor.json`, `supervisor.log`, `control.sock`: the program that keeps it running
 * - `fault.json`, `lasting-fault.json`: what was broken on purpose, and what of it outlives the lab's end
 */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isSystemError } from "../kernel/errno.ts";
import { processStart } from "../kernel/programs.ts";
import { errorText } from "../telemetry/log.ts";
import { type LabSpec, labNameProblem } from "./plan/spec.ts";

/** Milliseconds in which whoever else wants to be the supervisor has done what it would. */
const settling = 30;

/**
 * Where programs of this user keep what shall last: XDG_STATE_HOME where that is set, else /var/lib for root and
 * ~/.local/state for others (the XDG Base Directory Specification, which passes over paths that are relative).
 *
 * @throws an Error with the remedy for a user who has no home.
 */
export function stateHome(): string {
  const { XDG_STATE_HOME: wanted = "" } = process.env;
  if (isAbsolute(wanted)) return wanted;
  if (process.getuid?.() === 0) return "/var/lib";
  try {
    return join(homedir(), ".local", "state");
  } catch (cause) {
    throw new Error("this user has no home, where labs are kept: set XDG_STATE_HOME to a folder", { cause });
  }
}

/** Where labs lie. */
export function labsFolder(): string {
  return join(stateHome(), "portolan", "lab");
}

/** The names of all labs that left something on disk, sorted. */
export function listLabs(root: string = labsFolder()): readonly string[] {
  try {
    return readdirSync(root)
      .filter((name) => labNameProblem(name) === undefined)
      .sort();
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}

/** What is kept of a lab. */
export interface LabRecord {
  readonly spec: LabSpec;
  /** The port of the API server on this machine; 0 until it has one. */
  readonly apiPort: number;
}

/** The folder of one lab. */
export class LabFolder {
  readonly path: string;

  constructor(name: string, root: string = labsFolder()) {
    this.path = join(root, name);
  }

  get api(): string {
    return join(this.path, "api");
  }

  get kubeconfig(): string {
    return join(this.api, "kubeconfig");
  }

  get pods(): string {
    return join(this.path, "pods");
  }

  get socket(): string {
    return join(this.path, "control.sock");
  }

  get log(): string {
    return join(this.path, "supervisor.log");
  }

  node(name: string): string {
    return join(this.path, "nodes", name);
  }

  /** What the lab is to be; undefined if there is none. @throws an Error with the remedy if that cannot be read. */
  read(): LabRecord | undefined {
    const found = this.readJson("lab.json");
    if (found !== undefined && !isRecord(found)) throw this.#damaged("lab.json", "it is no lab");
    return found;
  }

  /** Whether there is anything of the lab on disk. */
  get exists(): boolean {
    return existsSync(this.path);
  }

  write(record: LabRecord): void {
    this.writeJson("lab.json", record);
  }

  /** The id of the supervisor's process, undefined if none runs. */
  supervisor(): number | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.path, "supervisor.json"), "utf8");
    } catch (error) {
      if (isSystemError(error, "ENOENT")) return undefined;
      throw this.#closed(error);
    }
    // A power cut may leave a note that is empty; whoever wrote it is gone.
    const [, pid, start] = /^\{"pid":(\d+),"start":"(\d+)"\}$/.exec(text) ?? [];
    return pid !== undefined && processStart(Number(pid)) === start ? Number(pid) : undefined;
  }

  /** Whether its last supervisor ended without clearing up: killed, or with the machine. */
  get crashed(): boolean {
    return existsSync(join(this.path, "supervisor.json")) && this.supervisor() === undefined;
  }

  /** Makes this process the supervisor. @returns false if another one is, or is faster. */
  async claim(): Promise<boolean> {
    const path = join(this.path, "supervisor.json");
    const own = `${path}.${process.pid}`;
    writeFileSync(own, JSON.stringify({ pid: process.pid, start: processStart(process.pid) }));
    try {
      if (this.supervisor() !== undefined) return false;
      rmSync(path, { force: true });
      linkSync(own, path);
    } catch (error) {
      if (isSystemError(error, "EEXIST")) return false;
      throw error;
    } finally {
      rmSync(own, { force: true });
    }
    // Somebody may have taken our note for the old one.
    await sleep(settling);
    return this.supervisor() === process.pid;
  }

  /** Removes what only means something while the lab runs, but for the note of who its supervisor is. */
  removeTraces(): void {
    for (const name of ["control.sock", "pods", "fault.json"]) {
      rmSync(join(this.path, name), { recursive: true, force: true });
    }
  }

  /** Removes the note of who the supervisor is. */
  release(): void {
    rmSync(join(this.path, "supervisor.json"), { force: true });
  }

  /** Removes the folder. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  /** The content of a file of the folder as JSON; undefined if it is not there. */
  readJson(name: string): unknown {
    const path = join(this.path, name);
    try {
      return JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      if (isSystemError(error, "ENOENT")) return undefined;
      throw error instanceof SyntaxError ? this.#damaged(name, error.message) : this.#closed(error);
    }
  }

  /** Makes the folder, for this user alone, unless it is there. */
  make(): void {
    try {
      mkdirSync(this.path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw this.#closed(error);
    }
  }

  /** Writes a file of the folder, whole or not at all. */
  writeJson(name: string, value: unknown): void {
    this.make();
    const path = join(this.path, name);
    try {
      writeFileSync(`${path}.new`, `${JSON.stringify(value, undefined, 2)}\n`);
      renameSync(`${path}.new`, path);
    } catch (error) {
      throw this.#closed(error);
    }
  }

  #damaged(name: string, why: string): Error {
    return new Error(`${join(this.path, name)} is damaged: ${why}; remove it, or the lab with portolan lab reset`);
  }

  #closed(cause: unknown): Error {
    const remedy = "make room, or set XDG_STATE_HOME to a folder of yours";
    return new Error(`${this.path}: no lab can be kept there (${errorText(cause)}): ${remedy}`, { cause });
  }
}

function isRecord(value: unknown): value is LabRecord {
  const { spec, apiPort } = (value ?? {}) as Partial<Record<keyof LabRecord, unknown>>;
  const { name, mode, families, nodes } = (spec ?? {}) as Partial<Record<keyof LabSpec, unknown>>;
  return (
    typeof apiPort === "number" &&
    typeof name === "string" &&
    typeof mode === "string" &&
    [families, nodes].every((list) => Array.isArray(list) && list.length > 0)
  );
}

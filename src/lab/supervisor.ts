/** The program that keeps a lab running, and does what commands ask of it. */
import { chmodSync } from "node:fs";
import { systemClock } from "../telemetry/clock.ts";
import { errorText, LogWriter } from "../telemetry/log.ts";
import { type ControlRequest, type LabStatus, listenForControl } from "./control.ts";
import { Lab } from "./lab.ts";
import type { LabFolder } from "./state.ts";
import { takePort } from "./world.ts";

/** What {@link supervise} needs. */
export interface SuperviseOptions {
  readonly folder: LabFolder;
  readonly version: string;
  /** Gets log lines. */
  readonly write: (line: string) => void;
  /** Ends it, and the lab with it. */
  readonly signal: AbortSignal;
}

/**
 * Runs the lab that is written in a folder until the signal is aborted; then nothing of it is left but the folder.
 *
 * @throws what kept the lab from starting, an Error if another supervisor has it.
 */
export async function supervise({ folder, version, write, signal }: SuperviseOptions): Promise<void> {
  const record = folder.read();
  if (record === undefined) throw new Error(`${folder.path} holds no lab`);
  if (!(await folder.claim())) throw new Error(`the lab runs already, kept by process ${folder.supervisor()}`);
  folder.removeTraces();
  const port = takePort();
  const log = new LogWriter({ clock: systemClock, pid: process.pid, write });
  let state: Pick<LabStatus, "phase" | "message"> = { phase: "starting", message: "" };
  const progress = (message: string) => {
    log.info("Starting", { part: message });
    state = { phase: "starting", message };
  };
  const lab = new Lab(record.spec, { folder, clock: systemClock, log, version, port, progress });
  // One change at a time; looking is always allowed.
  let last: Promise<unknown> = Promise.resolve();
  const control = await listenForControl(folder.socket, async (request) => {
    if (request.op === "status") return { ...state, nodes: await lab.status() } satisfies LabStatus;
    if (state.phase !== "ready") throw new Error(`the lab is not ready: ${state.message}`);
    const next = last.catch(() => {}).then(() => change(lab, request));
    last = next;
    return next;
  });
  chmodSync(folder.socket, 0o600);
  try {
    await lab.start();
    state = { phase: "ready", message: "" };
    log.info("The lab is ready");
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  } catch (error) {
    state = { phase: "failed", message: errorText(error) };
    log.error(error, "The lab could not be started");
    // Whoever waits for it is to read why.
    await systemClock.sleep(500, signal);
    throw error;
  } finally {
    await lab.stop();
    control.close();
    folder.removeTraces();
    folder.release();
  }
}

function change(lab: Lab, request: Exclude<ControlRequest, { readonly op: "status" }>): Promise<unknown> | unknown {
  switch (request.op) {
    case "mode":
      return lab.setMode(request.mode);
    case "addNode":
      return lab.addNode(request.zone);
    case "removeNode":
      return lab.removeNode(request.name);
    case "stopNode":
      return lab.stopNode(request.name);
    case "startNode":
      return lab.startNode(request.name);
    case "clusterCIDR":
      return lab.setClusterCIDR(request.name, request.cidr);
    default:
      throw new Error("no such request");
  }
}

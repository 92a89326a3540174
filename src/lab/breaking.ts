/** Breaks labs on purpose, remembers how, and repairs them. */
import { randomInt } from "node:crypto";
import { closestName } from "../config/problems.ts";
import { type Fault, type FaultStage, serviceSpec } from "./faults/fault.ts";
import { faults } from "./faults/index.ts";
import { ask, runningLab, statusOf } from "./operations.ts";
import { labClient } from "./pods.ts";
import type { LabFolder } from "./state.ts";

/** A fault that a lab has, and what is needed to undo it. */
interface Deed {
  readonly fault: string;
  readonly service: FaultStage["service"];
  /** The names of the nodes that ran then. */
  readonly nodes: readonly string[];
  readonly memory: unknown;
}

/** Those of faults of objects alone outlive the lab's end. */
const files = { passing: "fault.json", lasting: "lasting-fault.json" } as const;
type DeedFile = (typeof files)[keyof typeof files];

/** The Service that faults are about unless another is named: that of the example. */
export const usualService = { namespace: "default", name: "hello-node" } as const;

/** The fault of a name. @throws an Error that lists what there is. */
export function findFault(name: string): Fault {
  const found = faults.find((fault) => fault.name === name);
  if (found !== undefined) return found;
  const names = faults.map((fault) => fault.name);
  const meant = closestName(name, names);
  throw new Error(
    `there is no fault ${JSON.stringify(name)}: ${meant === undefined ? `there are ${names.join(", ")}` : `did you mean ${meant}?`}`,
  );
}

/** The names of the faults that a lab has now. */
export function currentFaults(folder: LabFolder): readonly string[] {
  return deedsOf(folder).map(({ fault }) => fault);
}

/** Breaks a lab. @throws an Error if it is broken so already, or cannot be. */
export async function breakLab(
  lab: string,
  fault: Fault,
  service: FaultStage["service"],
  signal: AbortSignal,
): Promise<void> {
  const folder = runningLab(lab);
  if (currentFaults(folder).includes(fault.name))
    throw new Error(`lab ${lab} has fault ${fault.name} already: repair it first`);
  await withStage(lab, folder, service, signal, async (stage) => {
    const nodes = stage.nodes.filter(({ state }) => state === "running");
    const memory = (await fault.break({ ...stage, nodes })) ?? null;
    const deed = { fault: fault.name, service, nodes: nodes.map(({ name }) => name), memory };
    const file = fileOf(fault);
    try {
      folder.writeJson(file, [...deedsIn(folder, file), deed]);
    } catch (error) {
      // Nobody would know how to repair it.
      await fault.repair({ ...stage, nodes }, memory);
      throw error;
    }
  });
}

/**
 * Breaks a lab at random, by one of the faults that it can have. @returns which.
 *
 * @throws an Error if there is no such Service, or if it can have none.
 */
export async function breakSomething(lab: string, service: FaultStage["service"], signal: AbortSignal): Promise<Fault> {
  await withStage(lab, runningLab(lab), service, signal, async (stage) => {
    await serviceSpec(stage);
  });
  let problem: unknown;
  for (const rest = [...faults]; rest.length > 0; ) {
    const [fault] = rest.splice(randomInt(rest.length), 1);
    if (fault === undefined) break;
    try {
      await breakLab(lab, fault, service, signal);
      return fault;
    } catch (error) {
      // It may need a second node, or a program that this machine does not have.
      problem = error;
    }
  }
  throw problem;
}

/** Undoes faults, the last one first. @param only the name of one; all without it. @returns the names of those undone. */
export async function repairLab(
  lab: string,
  only: string | undefined,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const folder = runningLab(lab);
  const repaired: string[] = [];
  for (const deed of deedsOf(folder).toReversed()) {
    if (only !== undefined && deed.fault !== only) continue;
    const fault = findFault(deed.fault);
    await withStage(lab, folder, deed.service, signal, async (stage) => {
      const nodes = deed.nodes.flatMap((name) => stage.nodes.find((node) => node.name === name) ?? []);
      try {
        await fault.repair({ ...stage, nodes }, deed.memory);
      } catch (error) {
        // What a node had that was switched off or removed is gone with it.
        if (nodes.length === deed.nodes.length && nodes.every(({ state }) => state === "running")) throw error;
      }
    });
    repaired.push(deed.fault);
    const file = fileOf(fault);
    folder.writeJson(
      file,
      deedsIn(folder, file).filter((other) => other.fault !== deed.fault),
    );
  }
  return repaired;
}

function fileOf({ lasting }: Fault): DeedFile {
  return files[lasting ? "lasting" : "passing"];
}

function deedsIn(folder: LabFolder, file: DeedFile): readonly Deed[] {
  return (folder.readJson(file) ?? []) as readonly Deed[];
}

function deedsOf(folder: LabFolder): readonly Deed[] {
  return [...deedsIn(folder, files.lasting), ...deedsIn(folder, files.passing)];
}

async function withStage(
  lab: string,
  folder: LabFolder,
  service: FaultStage["service"],
  signal: AbortSignal,
  work: (stage: FaultStage) => Promise<void>,
): Promise<void> {
  const status = await statusOf(lab, signal);
  const spec = folder.read()?.spec;
  if (status?.phase !== "ready" || spec === undefined) throw new Error(`lab ${lab} is not ready`);
  const client = labClient(folder);
  try {
    const { nodes } = status;
    await work({ spec, nodes, client, signal, service, ask: (request) => ask(lab, request, signal) });
  } finally {
    await client.destroy();
  }
}

/** Breaks labs on purpose, remembers how, and repairs them. */
import { closestName } from "../config/problems.ts";
import type { Fault, FaultStage } from "./faults/fault.ts";
import { faults } from "./faults/index.ts";
import { ask, runningLab, statusOf } from "./operations.ts";
import { labClient } from "./pods.ts";
import type { LabFolder } from "./state.ts";

/** A fault that a lab has, and what is needed to undo it. */
interface Deed {
  readonly fault: string;
  readonly service: FaultStage["service"];
  readonly memory: unknown;
}

const file = "fault.json";

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
  const deeds = deedsOf(folder);
  if (deeds.some((deed) => deed.fault === fault.name))
    throw new Error(`lab ${lab} has fault ${fault.name} already: repair it first`);
  await withStage(lab, folder, service, signal, async (stage) => {
    const memory = (await fault.break(stage)) ?? null;
    folder.writeJson(file, [...deeds, { fault: fault.name, service, memory }]);
  });
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
    await withStage(lab, folder, deed.service, signal, async (stage) => {
      await findFault(deed.fault).repair(stage, deed.memory);
    });
    repaired.push(deed.fault);
    folder.writeJson(
      file,
      deedsOf(folder).filter(({ fault }) => fault !== deed.fault),
    );
  }
  return repaired;
}

function deedsOf(folder: LabFolder): readonly Deed[] {
  return (folder.readJson(file) ?? []) as readonly Deed[];
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

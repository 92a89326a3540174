/** A lab as traces see it: all its namespaces, and the objects of its API. */
import { listNamespaces } from "../kernel/namespace.ts";
import { captureSurroundings, type Snapshot } from "../trace/snapshot/index.ts";
import { readObjects } from "../trace/snapshot/readobjects.ts";
import { runningLab } from "./operations.ts";
import { namespaceNames } from "./plan/names.ts";
import { labClient } from "./pods.ts";

/**
 * Takes a snapshot of a lab that runs: its nodes, its pods, the wire and the outside, which are called `wire` and
 * `outside` in it.
 *
 * @throws an Error if the lab does not run.
 */
export async function captureLab(lab: string, signal: AbortSignal): Promise<Snapshot> {
  const folder = runningLab(lab);
  const names = namespaceNames(lab);
  const client = labClient(folder);
  try {
    const objects = await readObjects(client, signal);
    const existing = new Set(listNamespaces());
    const nodes = (folder.read()?.spec.nodes ?? []).map(({ name }) => names.node(name));
    const first = nodes.find((namespace) => existing.has(namespace));
    if (first === undefined) throw new Error(`no node of lab ${lab} runs`);
    const taken = await captureSurroundings(first);
    const called = new Map([
      [names.wire, "wire"],
      [names.outside, "outside"],
    ]);
    const places = taken.places?.map((place) => ({ ...place, name: called.get(place.name) ?? place.name }));
    return { ...taken, ...(places !== undefined && { places }), objects };
  } finally {
    await client.destroy();
  }
}

/** A cluster with changes at some of its places. */
import type { ClusterObjects } from "../snapshot/objects.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { Cluster } from "../walk/index.ts";
import { applyChanges } from "./apply.ts";
import type { Changes } from "./changes.ts";
import { changedObjects } from "./objects.ts";
import { rehearse } from "./rehearse.ts";
import { serve } from "./serve.ts";
import { desiredOn, servingOf } from "./serving.ts";

/**
 * Applies all changes, from the first to the last.
 *
 * @param steps how much work walks do at most, as {@link Cluster} takes it.
 * @throws {RangeError} that names what is not there; an Error where nft or a mode refuses what it shall do.
 */
export async function changedCluster(
  snapshots: readonly Snapshot[],
  cluster: Cluster,
  changes: readonly Changes[],
  steps: number,
): Promise<Cluster> {
  const changed = new Map<Snapshot, Snapshot>();
  let { objects } = cluster;
  for (const change of changes) {
    const world = change.place === undefined ? cluster.worlds[0] : cluster.world(change.place);
    if (world === undefined) {
      throw new RangeError(
        `there is no place ${change.place}: there are ${cluster.worlds.map(({ place }) => place).join(", ")}`,
      );
    }
    changed.set(world.snapshot, applyChanges(changed.get(world.snapshot) ?? world.snapshot, change));
    if (change.apply !== undefined || change.delete !== undefined) {
      objects = await changeObjects(cluster, changed, objects, change);
    }
    if (change.nft !== undefined) {
      const after = changed.get(world.snapshot) ?? world.snapshot;
      changed.set(world.snapshot, { ...after, nftables: await rehearse(after.nftables, change.nft) });
    }
  }
  const replaced = (snapshot: Snapshot): Snapshot => {
    const { places } = snapshot;
    const own = changed.get(snapshot) ?? snapshot;
    return {
      ...own,
      ...(places !== undefined && { places: places.map(replaced) }),
      ...(snapshot.objects !== undefined && objects !== undefined && { objects }),
    };
  };
  return new Cluster(snapshots.map(replaced), steps);
}

/** Has every node that is served follow the change. @returns the objects after it. */
async function changeObjects(
  cluster: Cluster,
  changed: Map<Snapshot, Snapshot>,
  objects: ClusterObjects | undefined,
  change: Changes,
): Promise<ClusterObjects> {
  if (objects === undefined) {
    throw new RangeError(
      "objects can be changed where the snapshot has some: take it with --kubeconfig, or give it to the trace",
    );
  }
  const after = changedObjects(objects, change);
  let served = 0;
  for (const { snapshot, place } of cluster.worlds) {
    const now = changed.get(snapshot) ?? snapshot;
    const serving = servingOf(now, place);
    if (serving === undefined) continue;
    served++;
    const node = { place, serving, ...(change.proxy !== undefined && { proxy: change.proxy }) };
    const order = { mode: serving.mode, before: desiredOn(now, node, objects), after: desiredOn(now, node, after) };
    changed.set(snapshot, { ...now, nftables: await serve(now.nftables, place, order) });
  }
  if (served > 0) return after;
  throw new RangeError("no place of the trace has rules of a service proxy that changed objects would lead to");
}

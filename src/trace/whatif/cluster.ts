/** A cluster with changes at some of its places. */
import type { Snapshot } from "../snapshot/types.ts";
import { Cluster } from "../walk/index.ts";
import { applyChanges } from "./apply.ts";
import type { Changes } from "./changes.ts";
import { rehearse } from "./rehearse.ts";

/**
 * Applies all changes.
 *
 * @param steps how much work walks do at most, as {@link Cluster} takes it.
 * @throws {RangeError} that names what is not there; an Error where nft refuses its commands.
 */
export function changedCluster(
  snapshots: readonly Snapshot[],
  cluster: Cluster,
  changes: readonly Changes[],
  steps: number,
): Cluster {
  const changed = new Map<Snapshot, Snapshot>();
  for (const change of changes) {
    const world = change.place === undefined ? cluster.worlds[0] : cluster.world(change.place);
    if (world === undefined) {
      throw new RangeError(
        `there is no place ${change.place}: there are ${cluster.worlds.map(({ place }) => place).join(", ")}`,
      );
    }
    const before = changed.get(world.snapshot) ?? world.snapshot;
    const after = applyChanges(before, change);
    const nftables = change.nft === undefined ? after.nftables : rehearse(after.nftables, change.nft);
    changed.set(world.snapshot, { ...after, nftables });
  }
  const replaced = (snapshot: Snapshot): Snapshot => {
    const { places } = snapshot;
    const own = changed.get(snapshot) ?? snapshot;
    return places === undefined ? own : { ...own, places: places.map(replaced) };
  };
  return new Cluster(snapshots.map(replaced), steps);
}

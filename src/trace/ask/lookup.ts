/** Pods, Services and nodes by what people call them. */
import { closestName } from "../../config/problems.ts";
import { type Address, type Family, isLinkLocal, isLoopback } from "../../net/address.ts";
import type { CheckedPod, CheckedService } from "../snapshot/objects.ts";
import type { Cluster } from "../walk/cluster.ts";
import type { World } from "../walk/world.ts";

/** What the question is asked with. */
export interface Asking {
  /** The namespace of pods and Services that are named without one. */
  readonly namespace: string;
  /** The interface that the packet comes in by, if it was named. */
  readonly input?: string;
  /** The family that is wanted where both are possible. */
  readonly family?: Family;
}

/** The place of a node, or of another that is no pod, by its name. */
export function findNode(cluster: Cluster, name: string): World | undefined {
  return cluster.worlds.find((world) => world.role !== "pod" && world.place === name);
}

/** The same. @throws {RangeError} that lists what there is. */
export function needNode(cluster: Cluster, name: string): World {
  const found = findNode(cluster, name);
  if (found !== undefined) return found;
  const nodes = cluster.worlds.filter(({ role }) => role !== "pod").map(({ place }) => place);
  throw new RangeError(`there is no node ${name} in the snapshots: there are ${nodes.join(", ")}`);
}

type Named = { readonly namespace?: string; readonly name: string };

/** A Service by its name. */
export function findService(cluster: Cluster, named: Named, { namespace }: Asking): CheckedService | undefined {
  const wanted = named.namespace ?? namespace;
  return cluster.objects?.services.find((each) => each.name === named.name && each.namespace === wanted);
}

/** A pod of that name, or the first whose name begins so up to a dash: a Deployment's. */
export function findPod(cluster: Cluster, named: Named, { namespace }: Asking): CheckedPod | undefined {
  const wanted = named.namespace ?? namespace;
  const pods = (cluster.objects?.pods ?? []).filter((each) => each.namespace === wanted);
  const live = pods.filter(({ addresses, deleting }) => addresses.length > 0 && !deleting);
  return (
    pods.find(({ name }) => name === named.name) ??
    live.find(({ name }) => name.startsWith(`${named.name}-`)) ??
    pods.find(({ name }) => name.startsWith(`${named.name}-`))
  );
}

/** Those that the API knows a node by, else all of its own. */
export function nodeAddresses(cluster: Cluster, world: World): readonly Address[] {
  const known = cluster.objects?.nodes.find(({ name }) => name === world.place)?.addresses ?? [];
  return known.length > 0 ? known : addressesOf(world);
}

/** The addresses by which others reach a place, IPv4 first. */
export function addressesOf({ snapshot }: World): readonly Address[] {
  return snapshot.addresses
    .filter(({ address, scope }) => scope === 0 && !isLoopback(address) && !isLinkLocal(address))
    .map(({ address }) => address)
    .toSorted((a, b) => Number(a.includes(":")) - Number(b.includes(":")));
}

/** Says that there is nothing of a name: what was probably meant, or what there is. */
export function unknown(what: string, cluster: Cluster, names: readonly string[], wanted: string): string {
  if (cluster.objects === undefined) {
    const places = cluster.worlds.slice(0, 20).map(({ place }) => place);
    return `${what}: pods and Services have no names here without the cluster's API, but for Services that comments of rules name: name it with --kubeconfig, or give an address. Places: ${places.join(", ")}`;
  }
  const meant = closestName(wanted, names);
  const some = names.slice(0, 12);
  const rest = names.length - some.length;
  const hint =
    meant === undefined
      ? `there are ${some.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`
      : `did you mean ${meant}?`;
  return `${what}: there is none of that name: ${hint}`;
}

/** Which service proxy has written a node's rules, and what our own modes would be asked to write there. Pure. */
import { InvalidInputError } from "../../config/problems.ts";
import type { Family } from "../../net/address.ts";
import { policyOptions } from "../../proxy/config/effective.ts";
import { apiVersion, configurationKind, readConfiguration } from "../../proxy/config/schema.ts";
import { validate } from "../../proxy/config/validate.ts";
import { modeNames } from "../../proxy/modes/index.ts";
import type { Desired } from "../../proxy/modes/mode.ts";
import { resolve } from "../../service/resolve.ts";
import { ServiceState } from "../../service/state.ts";
import type { ClusterObjects } from "../snapshot/objects.ts";
import type { Snapshot } from "../snapshot/types.ts";
import type { ProxyChoices } from "./changes.ts";

/** A mode whose rules can be written on a copy of a node's rules. */
export type ServingMode = "nftables" | "iptables";

/** The mode by which a node is served, and for which families. */
export interface Serving {
  readonly mode: ServingMode;
  readonly families: readonly Family[];
}

const familyNames = [
  ["ip", "IPv4"],
  ["ip6", "IPv6"],
] as const;

/**
 * Finds who serves a node.
 *
 * @returns undefined where nobody does, as in pods.
 * @throws {RangeError} for a proxy whose rules cannot be written here.
 */
export function servingOf({ nftables, iptables, ipvs }: Snapshot, place: string): Serving | undefined {
  const refuse = (who: string): never => {
    throw new RangeError(
      `${place} is served by ${who}: changed objects can be followed for Portolan's modes nftables and iptables (with iptables-nft) alone`,
    );
  };
  const hasTable = (name: string) => nftables.tables.some(({ table }) => table === name);
  if (hasTable("kube-proxy")) refuse("kube-proxy's mode nftables");
  if (hasTable("portolan-userspace")) refuse("mode userspace");
  if ((ipvs?.services.length ?? 0) > 0) refuse("IPVS");
  if (iptables.some(({ chains }) => chains.some(({ name }) => name === "KUBE-SERVICES"))) refuse("iptables-legacy");
  const own = familyNames.flatMap(([table, family]) =>
    nftables.tables.some((each) => each.family === table && each.table === "portolan") ? [family] : [],
  );
  if (own.length > 0) return { mode: "nftables", families: own };
  const kube = familyNames.flatMap(([table, family]) =>
    nftables.chains.some((each) => each.family === table && each.table === "nat" && each.chain === "KUBE-SERVICES")
      ? [family]
      : [],
  );
  return kube.length > 0 ? { mode: "iptables", families: kube } : undefined;
}

/**
 * What a mode has to make true on a node for the objects of a cluster.
 *
 * @param place the node's name.
 * @throws {RangeError} that says what is wrong with the configuration.
 */
export function desiredOn(
  snapshot: Snapshot,
  { place, serving, proxy = {} }: { readonly place: string; readonly serving: Serving; readonly proxy?: ProxyChoices },
  objects: ClusterObjects,
): Desired {
  const node = objects.nodes.find(({ name }) => name === place);
  const { context, settings } = resolve(policyOptions(configurationOf(proxy), serving.mode), {
    name: place,
    zone: node?.zone ?? "",
    families: serving.families,
    addresses: { node: node?.addresses ?? [], local: snapshot.addresses.map(({ address }) => address) },
    podCIDRs: node?.podCIDRs ?? [],
    serviceCIDRs: proxy.serviceCIDRs ?? [],
  });
  const state = new ServiceState(context);
  for (const object of [...objects.services, ...objects.slices]) state.apply({ type: "upsert", object });
  state.takeChanges();
  return { settings, decisions: state.decisions };
}

function configurationOf({ configuration = {} }: ProxyChoices) {
  const what = "proxy.configuration";
  try {
    const text = JSON.stringify({ ...configuration, apiVersion, kind: configurationKind });
    const config = readConfiguration(text, what);
    const problems = validate(config, modeNames);
    if (problems.length > 0) throw new InvalidInputError(what, problems);
    return config;
  } catch (error) {
    if (error instanceof InvalidInputError) throw new RangeError(error.message);
    throw error;
  }
}

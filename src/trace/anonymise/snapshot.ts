/** A snapshot for strangers: addresses, names, comments and hardware addresses replaced, everything else as it was. */
import type { NftSet, Rule } from "../../kernel/nftables/index.ts";
import { type Address, addressBytes, addressFromBytes, parseAddress } from "../../net/address.ts";
import { prefixAddress, prefixOf } from "../../net/prefix.ts";
import type { ClusterObjects } from "../snapshot/objects.ts";
import type { LegacyTable, Snapshot } from "../snapshot/types.ts";
import { type RuleRenaming, replaceExpressions } from "./expressions.ts";
import type { Mapping } from "./mapping.ts";
import { after, type ByteRange } from "./ranges.ts";
import { replaceElements } from "./sets.ts";

/** What came of it. */
export interface Anonymised {
  readonly snapshot: Snapshot;
  /** What does not mean the same as before, or could not be kept: a sentence each. Walks may end otherwise there. */
  readonly unfaithful: readonly string[];
}

/** Replaces what tells whose network it is. Several snapshots of one cluster need the same mapping. */
export function anonymise(snapshot: Snapshot, mapping: Mapping): Anonymised {
  const unfaithful = new Set<string>();
  const place = (each: Snapshot): Snapshot => {
    const { places, objects, identity, namespaces } = each;
    return {
      ...each,
      anonymised: true,
      name: mapping.name("place", each.name),
      links: replaceTexts(each.links, mapping).map(({ alias: _, ...link }) => link),
      addresses: replaceTexts(each.addresses, mapping),
      neighbours: replaceTexts(each.neighbours, mapping),
      fdb: replaceTexts(each.fdb, mapping),
      rules: replaceTexts(each.rules, mapping),
      routes: replaceTexts(each.routes, mapping),
      conntrack: replaceTexts(each.conntrack, mapping),
      sockets: replaceTexts(each.sockets, mapping),
      ...(each.recent !== undefined && {
        recent: replaceTexts(each.recent, mapping).map((list) => ({ ...list, name: mapping.name("list", list.name) })),
      }),
      ...(each.ipvs !== undefined && { ipvs: replaceTexts(each.ipvs, mapping) }),
      ipsets: each.ipsets.map((set) => ({
        ...set,
        name: mapping.name("set", set.name),
        elements: set.elements.map((element) => {
          const { address, prefixLength, second, secondPrefixLength, name, ...rest } = replaceTexts(element, mapping);
          return {
            ...rest,
            ...(address !== undefined && { address: networkOf(address, prefixLength) }),
            ...(prefixLength !== undefined && { prefixLength }),
            ...(second !== undefined && { second: networkOf(second, secondPrefixLength) }),
            ...(secondPrefixLength !== undefined && { secondPrefixLength }),
            ...(name !== undefined && { name: mapping.name("set", name) }),
          };
        }),
      })),
      nftables: replaceRules(each, mapping, unfaithful),
      iptables: each.iptables.map((table) => replaceLegacy(table, mapping, unfaithful)),
      // What comes after the colon may name anything.
      missing: each.missing.map((text) => text.replace(/:.*$/s, ": (left out)")),
      ...(identity !== undefined && { identity: identityOf(identity, mapping) }),
      ...(namespaces !== undefined && {
        namespaces: namespaces.map((known) => ({ ...known, identity: identityOf(known.identity, mapping) })),
      }),
      ...(places !== undefined && { places: places.map(place) }),
      ...(objects !== undefined && { objects: replaceObjects(objects, mapping) }),
    };
  };
  return { snapshot: place(snapshot), unfaithful: [...unfaithful] };
}

/** All texts of a value that are addresses, prefixes or hardware addresses. */
function replaceTexts<T>(value: T, mapping: Mapping): T {
  const visit = (each: unknown): unknown => {
    if (typeof each === "string") return mapping.text(each);
    if (Array.isArray(each)) return each.map(visit);
    if (typeof each !== "object" || each === null || each instanceof Uint8Array) return each;
    return Object.fromEntries(Object.entries(each).map(([key, one]) => [key, key === "name" ? one : visit(one)]));
  };
  return visit(value) as T;
}

/** `machine/number`: which namespaces are of one machine stays known. */
function identityOf(identity: string, mapping: Mapping): string {
  const [machine = "", ...rest] = identity.split("/");
  return [mapping.name("machine", machine), ...rest].join("/");
}

function networkOf(address: Address, length: number | undefined): Address {
  return length === undefined ? address : prefixAddress(prefixOf(address, length));
}

function renamingOf(
  mapping: Mapping,
  kept: ReadonlySet<string>,
  unfaithful: Set<string>,
  newSet: RuleRenaming["newSet"],
): RuleRenaming {
  return {
    mapping,
    chain: (name) => (kept.has(name) ? name : mapping.name("chain", name)),
    object: (name) => mapping.name("object", name),
    set: (name) => (name.startsWith("__") ? name : mapping.name("set", name)),
    newSet,
    unfaithful: (what) => unfaithful.add(what),
  };
}

function replaceRules({ nftables }: Snapshot, mapping: Mapping, unfaithful: Set<string>): Snapshot["nftables"] {
  const { tables, chains, rules, sets, objects } = nftables;
  // The names of base chains are those of hooks, as a rule, and those of iptables' chains are known to everybody.
  const kept = new Set(chains.flatMap(({ base, chain }) => (base === undefined ? [] : [chain])));
  const made: Snapshot["nftables"]["sets"][number][] = [];
  const renamingFor = (table: { readonly family: Rule["family"]; readonly table: string }) =>
    renamingOf(mapping, kept, unfaithful, (size, ranges) => {
      const set = rangeSet(table, `__range-${made.length}`, size, ranges);
      made.push(set);
      return set.set;
    });
  const common = renamingFor({ family: "ip", table: "" });
  const comment = (text: string | undefined) => (text === undefined ? {} : { comment: mapping.name("comment", text) });
  return {
    ...nftables,
    tables: tables.map(({ comment: text, ...table }) => ({ ...table, ...comment(text) })),
    chains: chains.map(({ comment: text, ...chain }) => ({
      ...chain,
      chain: common.chain(chain.chain),
      ...comment(text),
    })),
    rules: rules.map(({ comment: text, userdata: _, ...rule }) => ({
      ...rule,
      chain: common.chain(rule.chain),
      expressions: replaceExpressions(rule.expressions, renamingFor(rule)),
      ...comment(text),
    })),
    objects: objects.map(({ comment: text, ...object }) => ({
      ...object,
      name: common.object(object.name),
      ...comment(text),
    })),
    sets: [
      ...sets.map(({ comment: text, userdata: _, ...set }) => ({
        ...set,
        set: common.set(set.set),
        elements: replaceElements(set, common),
        ...comment(text),
      })),
      ...made,
    ],
  };
}

/** A set of ranges of addresses. */
function rangeSet(
  { family, table }: { readonly family: Rule["family"]; readonly table: string },
  set: string,
  size: 4 | 16,
  ranges: readonly ByteRange[],
): Snapshot["nftables"]["sets"][number] {
  const key: NftSet["key"] = { type: size === 4 ? 7 : 8, length: size };
  const elements = ranges.flatMap(({ from, to }) => {
    const end = after(to);
    return [{ key: from }, ...(end.every((byte) => byte === 0) ? [] : [{ key: end, intervalEnd: true }])];
  });
  return { family, table, set, flags: ["anonymous", "constant", "interval"], key, elements };
}

function replaceLegacy(table: LegacyTable, mapping: Mapping, unfaithful: Set<string>): LegacyTable {
  const kept = new Set(table.chains.flatMap(({ name, policy }) => (policy === undefined ? [] : [name])));
  // A table of the old variant has no sets: a range stays as it is, and is said to.
  const renaming = renamingOf(mapping, kept, unfaithful, () => {
    unfaithful.add("a range of addresses in iptables' old tables");
    return "";
  });
  return {
    ...table,
    chains: table.chains.map((chain) => {
      const { expressions } = chain;
      if (expressions === undefined && chain.rules.length > 0)
        unfaithful.add(`rules of ${table.name} that are text alone`);
      return {
        ...chain,
        name: renaming.chain(chain.name),
        rules: [],
        ...(expressions !== undefined && {
          expressions: expressions.map((each) => replaceExpressions(each, renaming)),
        }),
      };
    }),
  };
}

function replaceObjects(objects: ClusterObjects, mapping: Mapping): ClusterObjects {
  const name = (kind: string) => (text: string) => mapping.name(kind, text);
  const [namespace, node, service] = [name("namespace"), name("node"), name("service")];
  const labels = (record: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries(record).map(([key, value]) => [mapping.name("key", key), mapping.name("value", value)]),
    );
  const { services, slices, pods, nodes } = replaceTexts(objects, mapping);
  return {
    services: services.map((each) => ({
      ...each,
      namespace: namespace(each.namespace),
      name: service(each.name),
      uid: mapping.name("uid", each.uid),
      selector: labels(each.selector),
    })),
    slices: slices.map((each) => ({
      ...each,
      namespace: namespace(each.namespace),
      name: mapping.name("slice", each.name),
      service: service(each.service),
      endpoints: each.endpoints.map(({ zoneHints, nodeHints, ...endpoint }) => ({
        ...endpoint,
        nodeName: node(endpoint.nodeName),
        ...(zoneHints !== undefined && { zoneHints: zoneHints.map(name("zone")) }),
        ...(nodeHints !== undefined && { nodeHints: nodeHints.map(node) }),
      })),
    })),
    pods: pods.map((each) => ({
      ...each,
      namespace: namespace(each.namespace),
      name: mapping.name("pod", each.name),
      node: node(each.node),
      labels: labels(each.labels),
    })),
    nodes: nodes.map((each) => ({
      ...each,
      name: node(each.name),
      ...(each.zone !== undefined && { zone: mapping.name("zone", each.zone) }),
    })),
  };
}

/** An address, replaced. */
export function replaceAddress(address: Address, mapping: Mapping): Address {
  return parseAddress(addressFromBytes(mapping.address(addressBytes(address))));
}

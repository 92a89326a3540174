/** The sets and maps of the table as nf_tables has them. */
import {
  type KeyLayout,
  keyLayout,
  type NftSet,
  type SetFlag,
  type TableRef,
  type TypeofExpression,
  typeOf,
  typeofLayout,
  typeofNumgen,
  valueData,
} from "../../../kernel/nftables/index.ts";
import type { Family } from "../../../net/address.ts";
import { affinitySets, type Field, fixedSets, type SetDefinition } from "./sets.ts";

/** The most clients that are remembered for each affinity timeout: 26 MB of kernel memory or so. */
const maximumClients = 262_144;

/** The name of the mode's table, in both families. */
export const tableName = "portolan";

/** By this comment a table is known to be ours. */
export const tableComment = "Portolan service proxy";

/** The family of the table that serves a family. */
export function tableFamily(family: Family): "ip" | "ip6" {
  return family === "IPv4" ? "ip" : "ip6";
}

/** The sets and maps of a table, by name. @param affinities the affinity timeouts in use, in seconds. */
export function setsOf(table: TableRef, affinities: Iterable<number>): ReadonlyMap<string, NftSet> {
  const definitions: [string, SetDefinition][] = Object.entries(fixedSets);
  for (const seconds of affinities) definitions.push(...Object.entries(affinitySets(seconds)));
  return new Map(definitions.map(([name, definition]) => [name, toSet(name, definition, table)]));
}

function toSet(set: string, definition: SetDefinition, table: TableRef): NftSet {
  const family = table.family === "ip" ? "IPv4" : "IPv6";
  const flags: SetFlag[] = [];
  if (definition.interval) flags.push("interval");
  if (definition.dynamic) flags.push("timeout", "dynamic");
  // Slots are numbers without a type of their own.
  const byExpression = definition.key.includes("random");
  return {
    ...table,
    set,
    flags,
    key: layout(definition.key, family, byExpression),
    ...(definition.data !== undefined && { data: valueData(layout(definition.data, family, byExpression)) }),
    ...(definition.dynamic && { size: maximumClients }),
    comment: definition.comment,
  };
}

/** nft shows a map either by the types of keys and values or by what they are compared with, never a mixture. */
function layout(fields: readonly Field[], family: Family, byExpression: boolean): KeyLayout {
  if (byExpression) return typeofLayout(...fields.map((field) => expressionOf(field, family)));
  return keyLayout(...fields.map((field) => expressionOf(field, family).type));
}

function expressionOf(field: Field, family: Family): TypeofExpression {
  switch (field) {
    case "saddr":
    case "daddr":
      return typeOf(`${family === "IPv4" ? "ip" : "ip6"} ${field}`);
    case "l4proto":
      return typeOf("meta l4proto");
    case "dport":
      return typeOf("th dport");
    case "priority":
      return typeOf("meta priority");
    case "random":
      // Any modulus does: nft shows the number that the set was made with.
      return typeofNumgen("random", 2);
  }
}

/** Entries in the format of SkyDNS: a JSON value under a key that is the name's labels from right to left. */
import { type Address, tryParseAddress } from "../../../net/address.ts";
import { labelsOf, tryParseName } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";
import type { KeyValue } from "./client.ts";

/** An entry. */
export interface Entry {
  /** The name that its key stands for. */
  readonly name: string;
  /** An address, or a name with a final dot; undefined for entries that are text alone. */
  readonly host: Address | undefined;
  readonly alias: string | undefined;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
  readonly text: string;
  readonly mail: boolean;
  /** Seconds. */
  readonly ttl: number;
  /** Labels that are taken off the name when it is the target of an SRV or MX record. */
  readonly targetStrip: number;
  readonly group: string;
}

const defaults = { ttl: 300, priority: 10 };

/** Bounds of TTLs that come from leases, in seconds. */
export interface LeaseBounds {
  readonly min: number;
  readonly max: number;
}

/** The key of a name below a prefix: `/skydns/org/example/www`. */
export function keyOf(name: string, prefix: string): string {
  return [prefix, ...labelsOf(name).reverse()].join("/");
}

/** The entries of keys; values that are no entries are left out. If there are groups, only those of the first one. */
export function entriesOf(pairs: readonly KeyValue[], prefix: string, bounds: LeaseBounds): readonly Entry[] {
  const entries = pairs.flatMap((pair) => parseEntry(pair, prefix, bounds) ?? []);
  const group = entries.find((entry) => entry.group !== "")?.group;
  return group === undefined ? entries : entries.filter((entry) => entry.group === "" || entry.group === group);
}

function parseEntry({ key, value, left }: KeyValue, prefix: string, { min, max }: LeaseBounds): Entry | undefined {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(value);
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const labels = key
    .slice(prefix.length + 1)
    .split("/")
    .filter(Boolean)
    .reverse();
  const name = tryParseName(`${labels.join(".")}.`);
  if (name === undefined) return undefined;
  const number = (field: string, otherwise: number, max: number) => {
    const found = fields[field];
    return typeof found === "number" && Number.isInteger(found) && found >= 0 && found <= max ? found : otherwise;
  };
  const host = typeof fields.host === "string" ? fields.host : "";
  // Of what the value says and what its lease has left, the shorter time counts.
  const lease = left === undefined ? 0 : Math.min(max, Math.max(min, left));
  const times = [number("ttl", 0, 0x7fffffff), lease].filter((time) => time > 0);
  const address = tryParseAddress(host);
  return {
    name,
    host: address,
    alias: address === undefined && host !== "" ? tryParseName(host) : undefined,
    port: number("port", 0, 65535),
    priority: number("priority", defaults.priority, 65535) || defaults.priority,
    weight: number("weight", 0, 65535),
    text: typeof fields.text === "string" ? fields.text : "",
    mail: fields.mail === true,
    ttl: times.length === 0 ? defaults.ttl : Math.min(...times),
    targetStrip: number("targetstrip", 0, 127),
    group: typeof fields.group === "string" ? fields.group : "",
  };
}

/** SRV records, with the addresses of those targets that are entries themselves. */
export function serviceRecords(
  owner: string,
  entries: readonly Entry[],
): readonly [ResourceRecord[], ResourceRecord[]] {
  const answer: ResourceRecord[] = [];
  const additional: ResourceRecord[] = [];
  const weights = new Map<number, number>();
  for (const { priority, weight } of entries) weights.set(priority, (weights.get(priority) ?? 0) + (weight || 100));
  for (const entry of entries) {
    const host = entry.alias ?? targetOf(entry);
    if (entry.host === undefined && entry.alias === undefined) continue;
    const share = ((entry.weight || 100) * 100) / (weights.get(entry.priority) ?? 100);
    const weight = Math.max(1, Math.floor(share));
    answer.push(record(owner, "SRV", entry.ttl, { priority: entry.priority, weight, port: entry.port, host }));
    if (entry.host !== undefined) additional.push(addressRecord(host, entry, entry.host));
  }
  return [answer, additional];
}

/** MX records of entries that are marked as mail exchangers. */
export function mailRecords(owner: string, entries: readonly Entry[]): readonly [ResourceRecord[], ResourceRecord[]] {
  const answer: ResourceRecord[] = [];
  const additional: ResourceRecord[] = [];
  for (const entry of entries) {
    if (!entry.mail || (entry.host === undefined && entry.alias === undefined)) continue;
    const host = entry.alias ?? targetOf(entry);
    answer.push(record(owner, "MX", entry.ttl, { preference: entry.priority, host }));
    if (entry.host !== undefined) additional.push(addressRecord(host, entry, entry.host));
  }
  return [answer, additional];
}

/** TXT records, in strings of at most 255 bytes. */
export function textRecords(owner: string, entries: readonly Entry[]): readonly ResourceRecord[] {
  return entries
    .filter(({ text }) => text !== "")
    .map(({ text, ttl }) => {
      const bytes = Buffer.from(text).toString("latin1");
      return record(owner, "TXT", ttl, { texts: bytes.match(/.{1,255}/gs) ?? [] });
    });
}

function targetOf({ name, targetStrip }: Entry): string {
  const labels = labelsOf(name);
  return `${labels.slice(Math.min(targetStrip, labels.length - 1)).join(".")}.`;
}

function addressRecord(owner: string, { ttl }: Entry, address: Address): ResourceRecord {
  return record(owner, address.includes(":") ? "AAAA" : "A", ttl, { address });
}

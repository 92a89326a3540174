/** Records of a cluster's names, type by type. Pure: what has to be asked elsewhere comes back as an alias. */
import { type Address, familyOf } from "../../../net/address.ts";
import { countLabels } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";
import type { Item } from "./lookup.ts";

/** The longest TTL of the SOA record in negative answers, in seconds. */
const maxNegativeTtl = 300;

/** Addresses of one family, each once. */
export function addressRecords(
  owner: string,
  type: "A" | "AAAA",
  ttl: number,
  items: readonly { readonly address: Address }[],
): ResourceRecord[] {
  const wanted = type === "A" ? "IPv4" : "IPv6";
  const records: ResourceRecord[] = [];
  const seen = items.length > 1 ? new Set<string>() : undefined;
  for (const { address } of items) {
    if (familyOf(address) !== wanted || seen?.has(address)) continue;
    seen?.add(address);
    records.push(record(owner, type, ttl, { address }));
  }
  return records;
}

/** One SRV record for each target and port, and the addresses of the targets. */
export function serviceRecords(
  owner: string,
  zone: string,
  ttl: number,
  items: readonly Item[],
): { readonly answer: ResourceRecord[]; readonly additional: ResourceRecord[] } {
  const weight = Math.max(1, Math.floor(100 / items.length));
  const answer: ResourceRecord[] = [];
  const additional: ResourceRecord[] = [];
  const seen = items.length > 1 ? new Set<string>() : undefined;
  const add = (list: ResourceRecord[], key: string, made: ResourceRecord) => {
    if (seen?.has(key)) return;
    seen?.add(key);
    list.push(made);
  };
  for (const { address, port, target } of items) {
    if (port < 0) continue;
    const host = joinName(target, zone);
    add(answer, `${host} ${port}`, record(owner, "SRV", ttl, { priority: 0, weight, port, host }));
    const type = address.includes(":") ? "AAAA" : "A";
    add(additional, `${host} ${address}`, record(host, type, ttl, { address }));
  }
  return { answer, additional };
}

/** The SOA record of a zone. */
export function soaRecord(zone: string, ttl: number, serial: number): ResourceRecord {
  return record(zone, "SOA", Math.min(ttl, maxNegativeTtl), {
    primary: joinName("ns.dns", zone),
    mailbox: joinName("hostmaster", zone),
    serial: serial >>> 0,
    refresh: 7200,
    retry: 1800,
    expire: 86400,
    minimum: ttl,
  });
}

/** A relative name below a zone. */
export function joinName(name: string, zone: string): string {
  return zone === "." ? `${name}.` : `${name}.${zone}`;
}

/** A name without its zone and without a final dot; both in the same case. Empty for the zone itself. */
export function withoutZone(name: string, zone: string): string {
  return zone === "." ? name.slice(0, -1) : name.slice(0, Math.max(0, name.length - zone.length - 1));
}

/** The zone as it was spelled at the end of a name that lies in it. */
export function zoneAsAsked(name: string, zone: string): string {
  return countLabels(zone) === 0 ? "." : name.slice(name.length - zone.length);
}

/** Catalog zones: lists of zones that a secondary is to have (RFC 9432). Pure. */
import { TYPE } from "../../wire/codes.ts";
import { isWithin, labelsOf } from "../../wire/names.ts";
import { is } from "../../wire/record.ts";
import type { Zone } from "../../zone/zone.ts";

/** A zone that a catalog lists. */
export interface Member {
  /** What the catalog calls it: another label means a zone that begins anew. */
  readonly label: string;
  /** The catalog that it is to move to (`coo`), undefined if it stays. */
  readonly moveTo: string | undefined;
}

const schemaVersion = "2";
/** Members of a catalog: of a larger one, some are left out. */
const maxMembers = 100_000;

/**
 * The members of a catalog, by their origins in lower case. Those that are listed twice, or ambiguously, are left out.
 *
 * @throws {TypeError} if the zone is no catalog of a version that is known: then nothing of it may be used.
 */
export function membersOf(catalog: Zone): ReadonlyMap<string, Member> {
  const { origin } = catalog;
  const versions = catalog.node(`version.${origin}`)?.records.get(TYPE.TXT) ?? [];
  const [version] = versions;
  const texts = version !== undefined && is(version, "TXT") ? version.data.texts : [];
  if (versions.length !== 1 || texts.join("") !== schemaVersion)
    throw new TypeError(
      `zone ${origin} is no catalog of version ${schemaVersion}: version.${origin} TXT does not say so`,
    );
  const zones = `zones.${origin}`;
  const owners = new Map<string, string>();
  const found = new Map<string, Member>();
  const ambiguous = new Set<string>();
  for (const record of catalog.transfer()) {
    if (!is(record, "PTR") || !isWithin(record.name.toLowerCase(), zones)) continue;
    const owner = record.name.toLowerCase();
    if (labelsOf(owner).length !== labelsOf(zones).length + 1) continue;
    const [label = ""] = labelsOf(owner);
    const member = record.data.host.toLowerCase();
    if (owners.has(owner)) ambiguous.add(owners.get(owner) ?? "");
    if (owners.has(owner) || found.has(member)) ambiguous.add(member);
    owners.set(owner, member);
    if (found.size < maxMembers) found.set(member, { label, moveTo: targetOf(catalog, `coo.${owner}`) });
  }
  for (const member of ambiguous) found.delete(member);
  found.delete(origin);
  return found;
}

/** The only PTR record of a name. */
function targetOf(catalog: Zone, name: string): string | undefined {
  const [record, second] = catalog.node(name)?.records.get(TYPE.PTR) ?? [];
  return record !== undefined && second === undefined && is(record, "PTR") ? record.data.host.toLowerCase() : undefined;
}

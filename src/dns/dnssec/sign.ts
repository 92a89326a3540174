/** Signatures of record sets (RFC 4034 3, 6). */

import { rewriteNames } from "../wire/canonical.ts";
import { countLabels } from "../wire/names.ts";
import { type ResourceRecord, record, writeData } from "../wire/record.ts";
import { Writer } from "../wire/writer.ts";
import type { ZoneKey } from "./keys.ts";

const writer = new Writer();

/**
 * Signs a record set: records of one owner, type and class.
 *
 * @param inception seconds since the epoch, as `expiration`.
 */
export function signSet(
  set: readonly ResourceRecord[],
  key: ZoneKey,
  inception: number,
  expiration: number,
): ResourceRecord<"RRSIG"> {
  const [first] = set;
  if (first === undefined) throw new RangeError("an empty set cannot be signed");
  const owner = first.name.toLowerCase();
  const unsigned = {
    covered: first.type,
    algorithm: key.record.data.algorithm,
    // The label of a wildcard does not count.
    labels: countLabels(owner) - (owner.startsWith("*.") ? 1 : 0),
    originalTtl: first.ttl,
    expiration,
    inception,
    keyTag: key.tag,
    signer: key.zone,
    signature: new Uint8Array(),
  };
  const signature = key.sign(
    Buffer.concat([dataOf(record(owner, "RRSIG", first.ttl, unsigned)), ...canonical(set, owner)]),
  );
  return record(first.name, "RRSIG", first.ttl, { ...unsigned, signature: new Uint8Array(signature) });
}

/** The records in canonical form and order (RFC 4034 6.2, 6.3), each once. */
function canonical(set: readonly ResourceRecord[], owner: string): readonly Buffer[] {
  const forms = set.map((one) => {
    const data = dataOf(rewriteNames(one, (name) => name.toLowerCase()));
    writer.begin();
    writer.plainDomain(owner);
    writer.u16(one.type);
    writer.u16(one.class);
    writer.u32(set[0]?.ttl ?? 0);
    writer.u16(data.length);
    return { data, whole: Buffer.concat([writer.message(), data]) };
  });
  forms.sort((a, b) => Buffer.compare(a.data, b.data));
  return forms
    .filter(({ data }, i) => i === 0 || !data.equals(forms[i - 1]?.data ?? Buffer.alloc(0)))
    .map(({ whole }) => whole);
}

/** The data of a record without compression. */
function dataOf({ type, data }: ResourceRecord): Buffer {
  writer.begin();
  writer.uncompressed = true;
  writeData(writer, type, data);
  writer.uncompressed = false;
  return Buffer.from(writer.message());
}

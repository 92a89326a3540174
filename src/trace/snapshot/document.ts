/** Snapshots as JSON: bytes are hexadecimal digits, all else is as in memory. */
import { snapshotShape } from "./schema.ts";
import { ShapeError } from "./shape.ts";
import { type Snapshot, schemaVersion } from "./types.ts";

/** The largest document that is read, in bytes: V8's longest text. */
export const largestDocument = 500 * 2 ** 20;

/** Writes a snapshot as a JSON document. */
export function formatSnapshot(snapshot: Snapshot): string {
  return `${JSON.stringify(plain(snapshot))}\n`;
}

/**
 * Reads a snapshot.
 *
 * @param what names the document in errors.
 * @throws an Error that names the place of the first thing that is wrong, for anything that this version would not write.
 */
export function parseSnapshot(text: string, what: string): Snapshot {
  if (hasTooMany(text)) throw new Error(`${what}: more than ${mostValues} values, no snapshot`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: not a snapshot, or cut off: ${error instanceof Error ? error.message : error}`);
  }
  const version =
    typeof value === "object" && value !== null && "schemaVersion" in value ? value.schemaVersion : undefined;
  if (typeof version === "number" && version > schemaVersion) {
    throw new Error(
      `${what}: schemaVersion ${version} is newer than ${schemaVersion}, the newest that this program reads: update it`,
    );
  }
  try {
    return snapshotShape(value, "snapshot") as Snapshot;
  } catch (error) {
    if (error instanceof ShapeError) throw new Error(`${what}: ${error.message}`);
    throw error;
  }
}

/** The most values of a document: each takes memory, however short its text is. The largest that was seen had a tenth. */
const mostValues = 50_000_000;

/** Whether a text has more values than that; commas in strings count, too, of which snapshots have few. */
function hasTooMany(text: string): boolean {
  if (text.length <= mostValues) return false;
  let count = 0;
  for (let i = 0; i < text.length && count <= mostValues; i++) {
    const code = text.charCodeAt(i);
    // `,`, `[` and `{`.
    if (code === 44 || code === 91 || code === 123) count++;
  }
  return count > mostValues;
}

/** Bytes become text. Not a replacer of JSON.stringify: some of them are Buffers, which have their own idea of JSON. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
}

/** Snapshots in files. */
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import { formatSnapshot, largestDocument, parseSnapshot } from "./document.ts";
import type { Snapshot } from "./types.ts";

/** Reads a snapshot, compressed or not. @throws an Error that names the file. */
export function readSnapshotFile(file: string): Snapshot {
  let plain: Buffer;
  try {
    const bytes = readFileSync(file);
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    plain = isGzip ? gunzipSync(bytes, { maxOutputLength: largestDocument }) : bytes;
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  if (plain.length > largestDocument) throw new Error(`${file}: longer than ${largestDocument} bytes, no snapshot`);
  return parseSnapshot(plain.toString(), file);
}

/** Writes a snapshot so that only its owner reads it: connections and addresses are nobody else's business. */
export function writeSnapshotFile(file: string, snapshot: Snapshot): void {
  const text = formatSnapshot(snapshot);
  writeFileSync(file, file.endsWith(".gz") ? gzipSync(text) : text, { mode: 0o600 });
}

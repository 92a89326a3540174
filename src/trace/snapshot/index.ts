/** Snapshots: what decides a packet's way on a node, taken, written and read. */
export { capture } from "./capture.ts";
export { formatSnapshot, largestDocument, parseSnapshot } from "./document.ts";
export { readSnapshotFile, writeSnapshotFile } from "./file.ts";
export { captureSurroundings } from "./surroundings.ts";
export { type LegacyChain, type LegacyTable, type Snapshot, schemaVersion } from "./types.ts";

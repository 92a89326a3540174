/** Snapshots that may be given away. */
export { Mapping } from "./mapping.ts";
export { type Anonymised, anonymise, replaceAddress } from "./snapshot.ts";

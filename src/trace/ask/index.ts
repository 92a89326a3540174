/** Questions as people ask them. */
export type { Asking } from "./lookup.ts";
export { type From, parseFrom, parseTo, type To } from "./parse.ts";
export { type Ends, resolveEnds } from "./resolve.ts";
export { entrance } from "./sender.ts";

/** Questions as people ask them. */
export { type From, parseFrom, parseTo, type To } from "./parse.ts";
export { type Asking, type Ends, resolveEnds } from "./resolve.ts";

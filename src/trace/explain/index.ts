/** Walks explained. */
export { type Cause, type Explanation, explain } from "./explain.ts";
export type { Reason } from "./reason.ts";

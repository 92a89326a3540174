/** Walks for people and programs. */
export { walkAsJson } from "./json.ts";
export { reaches, type Summary, summaryOf } from "./story.ts";
export { formatWalk } from "./text.ts";

/** Walks for people and programs. */
export { walkAsJson } from "./json.ts";
export { reaches, type Summary, summaryOf } from "./story.ts";
export { walkAsSvg } from "./svg/index.ts";
export { formatWalk } from "./text.ts";

/** The same question, asked of the network as it is and as it would be. */

export { applyChanges } from "./apply.ts";
export { type Changes, parseChanges } from "./changes.ts";
export { changedCluster } from "./cluster.ts";
export { formatBoth } from "./report.ts";

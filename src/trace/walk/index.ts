/** The way of a packet, computed from a snapshot: pure. */
export { Cluster } from "./cluster.ts";
export type { Phase } from "./midst.ts";
export type { Packet } from "./packet.ts";
export { type Ended, type Outcome, type State, type Step, stepsOf, type Target } from "./state.ts";
export { type Question, type Walk, type WalkOptions, walk, walkCluster } from "./walk.ts";

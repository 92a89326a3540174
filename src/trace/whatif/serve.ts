/** Has one of our own modes write on a copy of a node's rules what changed objects lead to. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Ruleset } from "../../kernel/nftables/index.ts";
import type { Desired } from "../../proxy/modes/mode.ts";
import { onCopy } from "./rehearse.ts";
import type { ServingMode } from "./serving.ts";

/** What the thread gets to do. */
export interface ServeOrder {
  readonly namespace: string;
  readonly mode: ServingMode;
  /** As the node is served now. */
  readonly before: Desired;
  readonly after: Desired;
}

/** What the thread says. */
export type ServeAnswer =
  | { readonly kind: "done" }
  /** The rules are not those of `before`. */
  | { readonly kind: "differs"; readonly where: string }
  | { readonly kind: "failed"; readonly why: string };

/**
 * The rule set after the mode has followed the change.
 *
 * @throws {RangeError} where the rules are not those that the mode would have written for the objects as they were: then
 *   nothing can be said of what it would write. An Error where the mode cannot write here.
 */
export function serve(ruleset: Ruleset, place: string, order: Omit<ServeOrder, "namespace">): Promise<Ruleset> {
  return onCopy(ruleset, async (namespace) => {
    const answer = await askThread({ ...order, namespace });
    if (answer.kind === "failed")
      throw new Error(`mode ${order.mode} cannot write on a copy of the rules: ${answer.why}`);
    if (answer.kind === "differs") {
      throw new RangeError(
        `the rules of ${place} are not those of mode ${order.mode} for the objects of the snapshot (${answer.where}): give its configuration and the cluster's serviceCIDRs under "proxy", or take rules and objects at the same time`,
      );
    }
  });
}

/** A thread of its own can live in another namespace while a mode waits for its programs. */
async function askThread(workerData: ServeOrder): Promise<ServeAnswer> {
  const thread = fileURLToPath(new URL("./servethread.ts", import.meta.url));
  // Programs are started with pipes that Node does not know of.
  const worker = new Worker(thread, { workerData, trackUnmanagedFds: false });
  const { promise, resolve, reject } = Promise.withResolvers<ServeAnswer>();
  worker.once("message", resolve);
  worker.once("error", reject);
  worker.once("exit", (code) => reject(new Error(`the thread ended with ${code}`)));
  try {
    return await promise;
  } finally {
    await worker.terminate();
  }
}

/** The queues of packets on which programs of a network namespace listen (`net/netfilter/nfnetlink_queue.c`). Reads only. */
import { readFileSync } from "node:fs";
import { isSystemError } from "../errno.ts";
import { inNamespace } from "../namespace.ts";

/** For the thread: `/proc/net` is that of the process, whatever namespace the thread is in. */
const file = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/**
 * The numbers of the queues on which somebody listens, of a named namespace or of the calling thread's own. None where
 * the kernel's module is not loaded.
 *
 * @throws where only root may read it.
 */
export function listQueues(namespace?: string): readonly number[] {
  const read = () => readFileSync(file, "utf8");
  try {
    return parseQueues(namespace === undefined ? read() : inNamespace(namespace, read));
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}

/** The first number of each line. */
function parseQueues(text: string): readonly number[] {
  return [...text.matchAll(/^\s*(\d+)\s/gm)].map(([, number]) => Number(number));
}

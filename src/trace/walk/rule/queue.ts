/** Packets that a rule gives to a program (`nft_queue`, `xt_NFQUEUE`, `net/netfilter/nf_queue.c`). */
import type { Queue } from "../../../kernel/nftables/index.ts";
import { assuming } from "../state.ts";
import { type Context, end, lost, type Next, type Thread } from "./thread.ts";

/** The queues among which the kernel chooses, and what it does where nobody listens. */
export interface QueueRange {
  /** Absent where the packet itself says it. */
  readonly first?: number;
  readonly total: number;
  /** Packets pass where nobody listens. */
  readonly bypass: boolean;
}

/** Reads the expression of nf_tables. */
export function queueOf({ number, total = 1, flags = [] }: Queue): QueueRange {
  return { ...(number !== undefined && { first: number }), total, bypass: flags.includes("bypass") };
}

/** The most queues that are told apart. */
const mostQueues = 64;

/** A way for each queue: with a program that decides, or without one. */
export function runQueue({ first, total, bypass }: QueueRange, thread: Thread, { world }: Context): readonly Next[] {
  const { queues } = world.snapshot;
  if (first === undefined) return lost(thread, "it goes to a queue that is not known, where a program decides");
  if (queues === undefined) return lost(thread, `a program decides (queue ${first})`);
  if (total > mostQueues) return lost(thread, `${total} queues are too many to follow`);
  return Array.from({ length: total }, (_, i) => first + i).flatMap((queue) => {
    const { state } = thread;
    const share = { ...state, probability: state.probability / total };
    const branch = total === 1 ? thread : { ...thread, state: share, choice: `1 of ${total}` };
    if (queues.includes(queue)) return decided(queue, branch);
    const effect = `no program listens on queue ${queue}${bypass ? ", and packets then pass" : ""}`;
    const without = { ...branch, effects: [...thread.effects, effect] };
    return end(without, { kind: "queued", queue, fate: bypass ? { kind: "accept" } : { kind: "drop", why: effect } });
  });
}

/** What the program does with the packet is not known: it may let it pass, drop it or change it. */
function decided(queue: number, thread: Thread): readonly Next[] {
  const text = `the program at queue ${queue} lets it pass unchanged`;
  const on = (assumed: string): Thread => ({ ...thread, state: assuming(thread.state, assumed) });
  const why = `the program at queue ${queue} may drop or change it`;
  return [
    ...end(on(text), { kind: "queued", queue, fate: { kind: "accept" } }),
    ...end(on(`not: ${text}`), { kind: "queued", queue, fate: { kind: "lost", why } }),
  ];
}

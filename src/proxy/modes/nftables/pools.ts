/**
 * Pools: where the endpoints of a decision stand in the kernel.
 *
 * A pool of n endpoints fills the slots 0 to n-1. The kernel draws a slot among the next power of two and draws again
 * where it hits none, so a slot that goes costs a packet another draw and never its connection, and only a change of
 * the power of two touches more than the slots themselves.
 */
import type { Decision, Endpoint } from "../../../service/decision.ts";
import { largestAffinitySize, largestSize, maximumPool } from "./word.ts";

/** The most endpoints that a pool can hold: those beyond it are left out. */
const capacity = { plain: 2 ** largestSize, affinity: 2 ** largestAffinitySize - 1 };

/** The endpoints of a pool, each in its slot. */
export interface Pool {
  /** 1 to {@link maximumPool}. */
  readonly number: number;
  readonly slots: readonly Endpoint[];
  /** With affinity: for each slot the number, from 0, under which clients of its endpoint are remembered. */
  readonly members: readonly number[];
}

/** A decision and the pools it has. */
export interface Placement {
  readonly decision: Decision;
  readonly cluster?: Pool;
  readonly local?: Pool;
}

/** Which numbers pools have. A number that is given back rests as long as possible, for packets that still carry it. */
export class PoolNumbers {
  readonly #taken = new Set<number>();
  #last = 0;

  /**
   * A free number.
   *
   * @throws {RangeError} if there is none.
   */
  take(): number {
    if (this.#taken.size >= maximumPool) throw new RangeError(`more than ${maximumPool} pools of endpoints`);
    do this.#last = this.#last === maximumPool ? 1 : this.#last + 1;
    while (this.#taken.has(this.#last));
    this.#taken.add(this.#last);
    return this.#last;
  }

  /** Takes this very number; false if it is taken. */
  claim(number: number): boolean {
    if (number < 1 || number > maximumPool || this.#taken.has(number)) return false;
    this.#taken.add(number);
    this.#last = Math.max(this.#last, number);
    return true;
  }

  /** Gives a number back. */
  release(number: number): void {
    this.#taken.delete(number);
  }
}

/**
 * Places a decision, moving as little as possible of where its endpoints stood before.
 *
 * @param before the placement it replaces, or what is known of it: pools with numbers that are its own.
 */
export function place(
  decision: Decision,
  before: Pick<Placement, "cluster" | "local">,
  numbers: PoolNumbers,
): Placement {
  const affinity = decision.affinitySeconds > 0;
  const pool = (name: "cluster" | "local"): Pool | undefined => {
    const old = before[name];
    const wanted = decision[name].slice(0, affinity ? capacity.affinity : capacity.plain);
    const used = decision.frontEnds.some(({ outcomes }) =>
      Object.values(outcomes).some((outcome) => outcome.kind === "balance" && outcome.pool === name),
    );
    if (wanted.length > 0 && used) return arrange(wanted, affinity, old, old?.number ?? numbers.take());
    if (old !== undefined) numbers.release(old.number);
    return undefined;
  };
  const cluster = pool("cluster");
  const local = pool("local");
  return { decision, ...(cluster && { cluster }), ...(local && { local }) };
}

/** Puts endpoints into slots: those that stay keep their slot, new ones fill gaps, the last ones move into the rest. */
function arrange(wanted: readonly Endpoint[], affinity: boolean, old: Pool | undefined, number: number): Pool {
  const missing = new Map(wanted.map((endpoint) => [endpointKey(endpoint), endpoint]));
  const slots: (Endpoint | undefined)[] = [];
  const members: number[] = [];
  const taken = new Set<number>();
  for (const [slot, endpoint] of (old?.slots ?? []).entries()) {
    const key = endpointKey(endpoint);
    slots.push(missing.get(key));
    members.push(old?.members[slot] ?? -1);
    if (missing.delete(key)) taken.add(members[slot] ?? -1);
    else members[slot] = -1;
  }
  const added = [...missing.values()];
  for (let slot = 0; slot < slots.length; slot++) slots[slot] ??= added.shift();
  slots.push(...added);
  for (let slot = 0; slot < slots.length; slot++) {
    if (slots[slot] !== undefined) continue;
    while (slots.length > slot && slots.at(-1) === undefined) slots.length--;
    if (slots.length <= slot) break;
    slots[slot] = slots.pop();
    members[slot] = members[slots.length] ?? -1;
  }
  members.length = slots.length;
  let free = 0;
  for (let slot = 0; affinity && slot < slots.length; slot++) {
    if ((members[slot] ?? -1) >= 0) continue;
    while (taken.has(free)) free++;
    members[slot] = free++;
  }
  return { number, slots: slots.filter((endpoint) => endpoint !== undefined), members: affinity ? members : [] };
}

function endpointKey({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}

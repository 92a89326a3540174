/**
 * Finds the pools of decisions in what an earlier process left in the kernel, so that a restart moves nothing and
 * clients stay with the endpoints they are remembered with.
 */
import { addressFromBytes } from "../../../net/address.ts";
import type { Decision, Endpoint, FrontEnd } from "../../../service/decision.ts";
import type { Element } from "./elements.ts";
import type { Pool, PoolNumbers } from "./pools.ts";
import { decodeNumber, encode, type SetName } from "./sets.ts";
import type { Former } from "./state.ts";
import { memberMask, poolOf, verdictMask, verdicts } from "./word.ts";

/** The pools that an earlier process left, by what leads to them. */
export class Heritage {
  readonly #words: ReadonlyMap<string, number>;
  readonly #pools: ReadonlyMap<number, Pool>;

  /** @param elements the elements of the table. */
  constructor(elements: readonly Element[]) {
    const words = new Map<string, number>();
    const remembered = new Map<string, string>();
    for (const { set, key, data = "" } of elements) {
      if (set.startsWith("front-ends") || set.startsWith("node-ports")) words.set(`${set} ${key}`, decodeNumber(data));
      else if (set === "affinity-endpoints") remembered.set(key, data);
    }
    const pools = new Map<number, { number: number; slots: Endpoint[]; members: number[] }>();
    for (const { set, key, data = "" } of elements) {
      if (set !== "endpoints" && set !== "affinity-slots") continue;
      const destination = set === "endpoints" ? data : remembered.get(data);
      if (destination === undefined) continue;
      const number = poolOf(decodeNumber(key));
      const pool = pools.get(number) ?? { number, slots: [], members: [] };
      const slot = decodeNumber(key, 4);
      pool.slots[slot] = decodeEndpoint(destination);
      if (set === "affinity-slots") pool.members[slot] = (decodeNumber(data) & memberMask) - 1;
      pools.set(number, pool);
    }
    this.#words = words;
    this.#pools = new Map([...pools].filter(([, { slots }]) => !slots.includes(undefined as never)));
  }

  /** The pools that the front ends of a decision led to, claimed in `numbers`. */
  former(decision: Decision, numbers: PoolNumbers): Former {
    const former: { cluster?: Pool; local?: Pool } = {};
    for (const frontEnd of decision.frontEnds) {
      for (const client of ["other", "pod", "node"] as const) {
        const outcome = frontEnd.outcomes[client];
        if (outcome.kind !== "balance" || former[outcome.pool] !== undefined) continue;
        const pool = this.#poolBehind(decision, frontEnd, client);
        if (pool !== undefined && numbers.claim(pool.number)) former[outcome.pool] = pool;
      }
    }
    return former;
  }

  #poolBehind(decision: Decision, frontEnd: FrontEnd, client: "pod" | "node" | "other"): Pool | undefined {
    const at = encode.protocol(decision.service.protocol) + encode.port(frontEnd.port);
    const base = frontEnd.kind === "NodePort" ? "node-ports" : "front-ends";
    const key = frontEnd.kind === "NodePort" ? at : encode.address(frontEnd.address) + at;
    const special: SetName = client === "pod" ? `${base}-from-pods` : `${base}-from-node`;
    const word =
      (client === "other" ? undefined : this.#words.get(`${special} ${key}`)) ?? this.#words.get(`${base} ${key}`);
    if (word === undefined) return undefined;
    const verdict = word & verdictMask;
    return verdict === verdicts.drop || verdict === verdicts.reject ? undefined : this.#pools.get(poolOf(word));
  }
}

function decodeEndpoint(data: string): Endpoint {
  const bytes = Buffer.from(data, "latin1");
  const end = bytes.length - 4;
  return { address: addressFromBytes(bytes.subarray(0, end)), port: bytes.readUInt16BE(end), local: false };
}

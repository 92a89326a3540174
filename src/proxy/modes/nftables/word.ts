/**
 * Action words: what the front-end maps give for a front end, as one 32-bit number.
 *
 * ```
 *  31                          12 11 10 9 8 7 6 5 4     0
 * +------------------------------+-----+-+-+-+-+-+-------+
 * | pool                         |  0  |S|C|P|N|O| verdict|
 * +------------------------------+-----+-+-+-+-+-+-------+
 * ```
 *
 * S: check the client against `allowed-sources`. C: the answer depends on the kind of client, look into the maps for
 * pods and for the node first. P, N, O: masquerade if the client is a pod, the node, anyone else.
 * The packet's priority carries the word from rule to rule, because nft can neither print nor parse a lookup inside of
 * a lookup: it is the one field of a packet that has 32 free bits, and only the first packet of a connection has it.
 * nft prints words as two hexadecimal halves, `major:minor`.
 */

/** The bits of a word that name its pool. */
export const poolMask = 0xfffff000;

/** Pools have numbers from 1 to this one. */
export const maximumPool = 0xfffff;

/** The bits of a number of a pool's endpoint: {@link rememberedEndpoint}. */
export const memberMask = 0xfff;

/** The bits of the verdict. */
export const verdictMask = 0x1f;

/** Single bits of a word. */
export const flags = { other: 0x20, node: 0x40, pod: 0x80, perClient: 0x100, checkSources: 0x200 } as const;

/** The three masquerade bits. */
export const masqueradeMask = flags.pod | flags.node | flags.other;

/** Verdicts of a word. From 0 to {@link largestSize} it is the size class of the pool: 2^n slots hold its endpoints. */
export const verdicts = { affinity: 0x1d, drop: 0x1e, reject: 0x1f } as const;

/** The largest size class of a pool: 65,536 endpoints. */
export const largestSize = 16;

/** The largest size class of a pool with session affinity: 4,095 endpoints, because their numbers have 12 bits. */
export const largestAffinitySize = 12;

/** The first 20 bits of a word: the key of a pool in all maps, as an unsigned 32-bit number. */
export function poolKey(number: number): number {
  return (number << 12) >>> 0;
}

/** The number of the pool that a word or a key names. */
export function poolOf(word: number): number {
  return word >>> 12;
}

/** The number under which `affinity-…` maps remember an endpoint of a pool; `member` is 0 to 4094. */
export function rememberedEndpoint(pool: number, member: number): number {
  return (poolKey(pool) | (member + 1)) >>> 0;
}

/** The smallest n with 2^n >= `count`; 0 for 0. */
export function sizeClass(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1);
}

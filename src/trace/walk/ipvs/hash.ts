/** The schedulers of IPVS that choose by a hash (`net/netfilter/ipvs/ip_vs_sh.c`, `ip_vs_dh.c`). */
import type { CountedDestination } from "../../../kernel/ipvs/index.ts";
import { serviceFlag } from "../../../kernel/ipvs/index.ts";
import { addressBytes } from "../../../net/address.ts";
import type { BalancedService } from "../../snapshot/types.ts";
import type { Packet } from "../packet.ts";

/** How many places a table has that hashes fall on, as kernels are built (`CONFIG_IP_VS_SH_TAB_BITS`). */
export const tableSize = 256;
/** `GOLDEN_RATIO_32`. */
const multiplier = 0x61c8_8647;

/**
 * The destination that the hash of a packet falls on; `undefined` where it falls on one that takes no new connections,
 * `open` where the client's port counts and is not known.
 *
 * @param takes says whether a destination takes new connections.
 */
export function hashed(
  { scheduler, flags, destinations }: BalancedService,
  { source, destination, sourcePort }: Packet,
  takes: (destination: CountedDestination) => boolean,
): CountedDestination | "open" | undefined {
  if (scheduler === "dh") return chosen(tableOf(destinations, () => 1)[hashOf(destination, 0)], takes);
  const countsPort = (flags & serviceFlag.hashPort) !== 0;
  if (countsPort && sourcePort === undefined) return "open";
  const table = tableOf(destinations, ({ weight }) => weight);
  const first = hashOf(source, countsPort ? (sourcePort ?? 0) : 0);
  const found = chosen(table[first], takes);
  if (found !== undefined || (flags & serviceFlag.hashFallback) === 0) return found;
  for (let i = 0; i < tableSize; i++) {
    const next = chosen(table[(first + ((i + first) % tableSize)) % tableSize], takes);
    if (next !== undefined) return next;
  }
  return undefined;
}

function chosen(
  destination: CountedDestination | undefined,
  takes: (destination: CountedDestination) => boolean,
): CountedDestination | undefined {
  return destination !== undefined && takes(destination) ? destination : undefined;
}

/** Destinations in turn, each as often as it weighs, but once at least, until the table is full. */
function tableOf(
  destinations: readonly CountedDestination[],
  weightOf: (destination: CountedDestination) => number,
): readonly CountedDestination[] {
  const table: CountedDestination[] = [];
  while (table.length < tableSize && destinations.length > 0) {
    for (const destination of destinations) {
      const times = Math.min(Math.max(1, weightOf(destination)), tableSize - table.length);
      for (let i = 0; i < times; i++) table.push(destination);
    }
  }
  return table;
}

/** `hash_32` of an address, folded to 32 bits, and a port. */
function hashOf(address: Packet["source"], port: number): number {
  const bytes = addressBytes(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let folded = 0;
  for (let at = 0; at < bytes.length; at += 4) folded ^= view.getUint32(at);
  return Math.imul(folded + port, multiplier) >>> 24;
}

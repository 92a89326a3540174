/** The tables of iptables' old variant, read from the kernel itself (`getsockopt` of `ip_tables` and `ip6_tables`). */
import { type Family, families } from "../../net/address.ts";
import { AF, close, getsockopt, SOCK, SOL, socket } from "../ffi.ts";
import { inNamespace } from "../namespace.ts";
import { type BlobChain, decodeEntries, decodeInfo, entriesOffset, infoLength } from "./blob.ts";
import { type AnyTable, legacyTables } from "./xtables.ts";

/** A table of the old variant. */
export interface BlobTable {
  readonly family: Family;
  readonly name: string;
  readonly chains: readonly BlobChain[];
}

/** `IPT_SO_GET_INFO`, `IPT_SO_GET_ENTRIES`; the same numbers for IPv6. */
const option = { info: 64, entries: 65 } as const;
/** `IPPROTO_RAW`. */
const rawProtocol = 255;
/** A table that grows while it is read is asked for again. */
const mostTries = 5;

/**
 * All tables of the old variant that exist in a named namespace, or in the calling thread's own. Looking makes none.
 *
 * @throws what the system calls throw, and {@link TableFormatError} if the kernel's block of entries is malformed.
 */
export function readLegacyTables(order: readonly AnyTable[], namespace?: string): readonly BlobTable[] {
  const read = () => families.flatMap((family) => readFamily(family, order));
  return namespace === undefined ? read() : inNamespace(namespace, read);
}

function readFamily(family: Family, order: readonly AnyTable[]): readonly BlobTable[] {
  const existing = legacyTables(family);
  const names = order.filter((name) => existing.has(name));
  if (names.length === 0) return [];
  const fd = socket(family === "IPv4" ? AF.inet : AF.inet6, SOCK.raw | SOCK.cloexec, rawProtocol);
  try {
    return names.map((name) => ({ family, name, chains: readTable(fd, family, name) }));
  } finally {
    close(fd);
  }
}

function readTable(fd: number, family: Family, name: string): readonly BlobChain[] {
  const level = family === "IPv4" ? SOL.ip : SOL.ipv6;
  for (let tries = 1; ; tries++) {
    const info = decodeInfo(getsockopt(fd, level, option.info, named(name, infoLength)));
    const request = named(name, entriesOffset + info.size);
    new DataView(request.buffer).setUint32(32, info.size, true);
    try {
      return decodeEntries(getsockopt(fd, level, option.entries, request).subarray(entriesOffset), info, family);
    } catch (error) {
      if (tries === mostTries) throw error;
    }
  }
}

/** A structure that begins with a table's name. */
function named(name: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  new TextEncoder().encodeInto(name, bytes.subarray(0, 31));
  return bytes;
}

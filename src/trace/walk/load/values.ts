/** Values as expressions load them. */
import { hostU32Bytes, type TableFamily, u16Bytes } from "../../../kernel/nftables/index.ts";
import { type Bytes, knownBytes } from "../packet.ts";

/** Where a packet is: the family and hook of the chains that it passes. */
export interface Where {
  readonly family: TableFamily;
  readonly hook: string;
}

/** A value with its name; or that the kernel does not have it here, so that the rule does not match. */
export type Loaded = { readonly value: Bytes; readonly name: string } | { readonly absent: string };

/** A value that is there. */
export const load = (name: string, value: Bytes): Loaded => ({ name, value });
/** Numbers and names in registers: in network order where nothing else is said. */
export const u8 = (value: number) => knownBytes(Uint8Array.of(value));
export const u16 = (value: number) => knownBytes(u16Bytes(value));
export const hostU16 = (value: number) => knownBytes(Uint8Array.of(value, value >> 8));
export const hostU32 = (value: number) => knownBytes(hostU32Bytes(value));
export const text16 = (text: string) => {
  const bytes = new Uint8Array(16);
  new TextEncoder().encodeInto(text, bytes.subarray(0, 15));
  return knownBytes(bytes);
};

/** What a frame says that it carries. */
export const etherType = { IPv4: 0x0800, IPv6: 0x86dd } as const;
/** `NFPROTO_*`. */
export const familyNumber = { IPv4: 2, IPv6: 10 } as const;

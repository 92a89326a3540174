/** Virtual services of IPVS as values. */
import { type Address, addressBytes, addressFromBytes, type Family, familyOf } from "../../net/address.ts";
import { formatHostPort, type Protocol, protocolFromNumber, protocolNumbers } from "../../net/protocol.ts";
import { AF } from "../ffi.ts";
import { type AttributeReader, type MessageReader, NetlinkFormatError, type NetlinkWriter } from "../netlink/index.ts";
import { commandAttribute, headerLength, serviceAttribute } from "./protocol.ts";

/** Which virtual service is meant: an address and port, or the mark that packets carry. */
export type ServiceKey =
  | { readonly kind: "address"; readonly address: Address; readonly protocol: Protocol; readonly port: number }
  | { readonly kind: "mark"; readonly family: Family; readonly mark: number };

/** How a virtual service works. */
export interface ServiceSettings {
  /** The name of a scheduler: rr, wrr, lc, wlc, lblc, lblcr, sh, dh, sed, nq, mh, fo, ovf or another that the kernel has. */
  readonly scheduler: string;
  /** Bits of {@link serviceFlag}. */
  readonly flags: number;
  /** Seconds that a client sticks to its destination; counts only with flag `persistent`. */
  readonly timeout: number;
  /** The bits of a client's address that count for persistence: 1 to 32, or 1 to 128. */
  readonly netmask: number;
}

/** A virtual service. */
export interface VirtualService extends ServiceSettings {
  readonly key: ServiceKey;
}

/** Flags of a virtual service (`IP_VS_SVC_F_*`). */
export const serviceFlag = {
  persistent: 0x1,
  /** Set by the kernel: the service is in its table. */
  hashed: 0x2,
  /** Each packet for itself (UDP). */
  onePacket: 0x4,
  /** Schedulers sh and mh: take another destination where the chosen one is not available. */
  hashFallback: 0x8,
  /** Schedulers sh and mh: the client's port counts as well. */
  hashPort: 0x10,
} as const;

/** The family of a virtual service. */
export function serviceFamily(key: ServiceKey): Family {
  return key.kind === "mark" ? key.family : familyOf(key.address);
}

/** A virtual service in words, unique: `TCP 10.96.0.1:443`, `UDP [fd00::1]:53`, `mark 16 IPv4`. */
export function formatService(key: ServiceKey): string {
  return key.kind === "mark"
    ? `mark ${key.mark} ${key.family}`
    : `${key.protocol} ${formatHostPort(key.address, key.port)}`;
}

/** Writes which service is meant and, where given, how it works, as one attribute. */
export function writeService(writer: NetlinkWriter, key: ServiceKey, settings?: ServiceSettings): void {
  const family = serviceFamily(key);
  const outer = writer.beginNested(commandAttribute.service);
  writer.attributeU16(serviceAttribute.family, family === "IPv4" ? AF.inet : AF.inet6);
  if (key.kind === "mark") {
    writer.attributeU32(serviceAttribute.mark, key.mark);
  } else {
    writer.attributeU16(serviceAttribute.protocol, protocolNumbers[key.protocol]);
    writer.attributeBytes(serviceAttribute.address, wideAddress(key.address));
    writer.attributeU16BE(serviceAttribute.port, key.port);
  }
  if (settings !== undefined) {
    writer.attributeString(serviceAttribute.scheduler, settings.scheduler);
    writer.attributeBytes(serviceAttribute.flags, flagsAndMask(settings.flags));
    writer.attributeU32(serviceAttribute.timeout, settings.timeout);
    if (family === "IPv4") writer.attributeU32BE(serviceAttribute.netmask, maskOf(settings.netmask));
    else writer.attributeU32(serviceAttribute.netmask, settings.netmask);
  }
  writer.endNested(outer);
}

/**
 * Reads a message about a virtual service; undefined if it is of a family or protocol that Services do not know.
 *
 * @throws {NetlinkFormatError} if it is malformed.
 */
export function decodeService(message: MessageReader): VirtualService | undefined {
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    if (attribute.type === commandAttribute.service) return readService(attribute.nested());
  }
  throw new NetlinkFormatError("a message about a virtual service without one");
}

function readService(fields: AttributeReader): VirtualService | undefined {
  let [familyNumber, protocolNumber, port, mark, timeout, flags, rawMask] = [0, 0, 0, 0, 0, 0, 0];
  let scheduler = "";
  let bytes: Uint8Array | undefined;
  let maskBytes: Uint8Array | undefined;
  while (fields.next()) {
    switch (fields.type) {
      case serviceAttribute.family:
        familyNumber = fields.u16();
        break;
      case serviceAttribute.protocol:
        protocolNumber = fields.u16();
        break;
      case serviceAttribute.address:
        bytes = fields.bytes();
        break;
      case serviceAttribute.port:
        port = fields.u16BE();
        break;
      case serviceAttribute.mark:
        mark = fields.u32();
        break;
      case serviceAttribute.scheduler:
        scheduler = fields.string();
        break;
      case serviceAttribute.flags:
        if (fields.length !== 8) throw new NetlinkFormatError(`flags of ${fields.length} bytes`);
        flags = readLittle(fields.bytes());
        break;
      case serviceAttribute.timeout:
        timeout = fields.u32();
        break;
      case serviceAttribute.netmask:
        rawMask = fields.u32();
        maskBytes = fields.bytes();
        break;
    }
  }
  const family = familyFromNumber(familyNumber);
  if (family === undefined) return undefined;
  const netmask = family === "IPv6" ? rawMask : prefixLengthOf(maskBytes);
  const settings = { scheduler, flags, timeout, netmask };
  if (mark !== 0) return { key: { kind: "mark", family, mark }, ...settings };
  const protocol = protocolFromNumber(protocolNumber);
  if (protocol === undefined) return undefined;
  return { key: { kind: "address", address: narrowAddress(bytes, family), protocol, port }, ...settings };
}

/** The family of a number, undefined for others than IP. */
export function familyFromNumber(number: number): Family | undefined {
  return number === AF.inet ? "IPv4" : number === AF.inet6 ? "IPv6" : undefined;
}

/** An address as a union that has room for both families (`union nf_inet_addr`). */
export function wideAddress(address: Address): Uint8Array {
  const wide = new Uint8Array(16);
  wide.set(addressBytes(address));
  return wide;
}

/** The address in such a union. @throws {NetlinkFormatError} if it is none. */
export function narrowAddress(bytes: Uint8Array | undefined, family: Family): Address {
  if (bytes?.length !== 16) throw new NetlinkFormatError(`an address of ${bytes?.length ?? 0} bytes, not 16`);
  return addressFromBytes(family === "IPv4" ? bytes.subarray(0, 4) : bytes);
}

/** `struct ip_vs_flags`: the flags, and which of them are to be set. */
function flagsAndMask(flags: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, flags, true);
  view.setUint32(4, 0xffff_ffff, true);
  return bytes;
}

function readLittle(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** A netmask as a number whose first byte in network order is the most significant. */
function maskOf(length: number): number {
  return length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
}

function prefixLengthOf(mask: Uint8Array | undefined): number {
  let length = 0;
  for (const byte of mask ?? []) length += (byte >>> 0).toString(2).replaceAll("0", "").length;
  return length;
}

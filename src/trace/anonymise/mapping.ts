/**
 * How addresses and names are replaced: by a secret, always alike, and so that what was in one network is in one network
 * afterwards. Pure but for the secret.
 */
import { createHmac } from "node:crypto";
import { type Address, addressBytes, addressFromBytes, tryParseAddress } from "../../net/address.ts";
import { prefixAddress, prefixLength, prefixOf, tryParsePrefix } from "../../net/prefix.ts";

/**
 * The bits of an address that are replaced, from the first to before the last. What stands before them says what kind of
 * address it is (private, global, of documentation), and is kept; what stands behind them counts hosts within a
 * network, and is kept too, so that ranges within a network stay ranges.
 */
const replacedBits = { 4: [8, 24], 16: [16, 64] } as const;

/** Replacements by one secret. */
export class Mapping {
  readonly #secret: Uint8Array;
  readonly #bits = new Map<string, number>();
  readonly #names = new Map<string, string>();

  /** @param secret random bytes, kept by nobody: with them the replacements can be undone. */
  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /**
   * The bytes of an address of 4 or 16 bytes. Addresses that share their first bits share as many afterwards. Loopback,
   * link-local, multicast, broadcast and unspecified addresses stay, since they mean what they are.
   */
  address(bytes: Uint8Array): Uint8Array {
    if (bytes.length === 16 && isMapped(bytes)) {
      return Uint8Array.from([...bytes.subarray(0, 12), ...this.address(bytes.subarray(12))]);
    }
    if (isSpecial(bytes)) return this.#hardware(bytes);
    const result = this.#hardware(bytes);
    const [first, end] = bytes.length === 4 ? replacedBits[4] : replacedBits[16];
    for (let bit = first; bit < end; bit++) {
      const byte = bit >> 3;
      if (this.#flip(bytes, bit)) result[byte] = (result[byte] ?? 0) ^ (0x80 >> (bit & 7));
    }
    return result;
  }

  /** The first bytes of an address, as rules compare them; whatever length they have. @param size 4 or 16. */
  leading(bytes: Uint8Array, size: number): Uint8Array {
    const whole = new Uint8Array(size);
    whole.set(bytes.subarray(0, size));
    return this.address(whole).subarray(0, bytes.length);
  }

  /** Text that is an address, a prefix or a hardware address; anything else as it is. */
  text(text: string): string {
    const address = tryParseAddress(text);
    if (address !== undefined) return this.#addressText(address);
    const prefix = text.includes("/") ? tryParsePrefix(text) : undefined;
    if (prefix !== undefined) return prefixOf(this.#addressText(prefixAddress(prefix)), prefixLength(prefix));
    if (/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)) {
      const bytes = Uint8Array.from(text.split(":"), (each) => Number.parseInt(each, 16));
      return Array.from(this.mac(bytes), (byte) => byte.toString(16).padStart(2, "0")).join(":");
    }
    return text;
  }

  /** A hardware address; those of groups, and of nobody, stay. */
  mac(bytes: Uint8Array): Uint8Array {
    if (((bytes[0] ?? 0) & 1) !== 0 || bytes.every((byte) => byte === 0)) return bytes;
    return Uint8Array.from([2, ...this.#digest(`mac ${Buffer.from(bytes).toString("hex")}`).subarray(0, 5)]);
  }

  /** A name of some kind: `pod-3f9a41`. The empty name stays. */
  name(kind: string, name: string): string {
    if (name === "") return name;
    const key = `${kind} ${name}`;
    let found = this.#names.get(key);
    if (found === undefined) {
      found = `${kind}-${this.#digest(key).subarray(0, 5).toString("hex")}`;
      this.#names.set(key, found);
    }
    return found;
  }

  #addressText(address: Address): Address {
    return addressFromBytes(this.address(addressBytes(address)));
  }

  /** Interface identifiers that are made of a hardware address (RFC 4291, appendix A) follow that. */
  #hardware(bytes: Uint8Array): Uint8Array {
    const result = bytes.slice();
    if (bytes.length !== 16 || bytes[11] !== 0xff || bytes[12] !== 0xfe) return result;
    const mac = this.mac(Uint8Array.from([(bytes[8] ?? 0) ^ 2, ...bytes.subarray(9, 11), ...bytes.subarray(13)]));
    result.set([(mac[0] ?? 0) ^ 2, ...mac.subarray(1, 3)], 8);
    result.set(mac.subarray(3), 13);
    return result;
  }

  /** Whether a bit is the other way round: it depends on all bits before it, which keeps prefixes. */
  #flip(bytes: Uint8Array, bit: number): boolean {
    const whole = bit >> 3;
    const rest = (bytes[whole] ?? 0) >> (8 - (bit & 7));
    const key = `${bytes.length} ${bit} ${Buffer.from(bytes.subarray(0, whole)).toString("hex")} ${rest}`;
    let flip = this.#bits.get(key);
    if (flip === undefined) {
      flip = (this.#digest(key)[0] ?? 0) & 1;
      this.#bits.set(key, flip);
    }
    return flip === 1;
  }

  #digest(text: string): Buffer {
    return createHmac("sha256", this.#secret).update(text).digest();
  }
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
}

function isSpecial(bytes: Uint8Array): boolean {
  const [first = 0] = bytes;
  // 0.0.0.0/8, 127.0.0.0/8, all of 169.0.0.0/8 for its 169.254.0.0/16, multicast and what is beyond.
  if (bytes.length === 4) return first === 0 || first === 127 || first === 169 || first >= 224;
  return first === 0 || first === 0xfe || first === 0xff;
}

/** Whether a range of addresses is one afterwards, without being taken apart. */
export function staysRange(from: Uint8Array, to: Uint8Array): boolean {
  const kept = from.length === 4 ? 3 : 8;
  return isSpecial(from) && isSpecial(to) ? true : from.subarray(0, kept).every((byte, i) => byte === to[i]);
}

/** A range as prefixes: the first address of each, and its length. */
export function prefixesOf(
  from: Uint8Array,
  to: Uint8Array,
): readonly { readonly address: Uint8Array; readonly length: number }[] {
  const size = 8 * from.length;
  const number = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  const prefixes: { readonly address: Uint8Array; readonly length: number }[] = [];
  const last = number(to);
  for (let at = number(from); at <= last; ) {
    let bits = 0;
    while (bits < size && (at & ((1n << BigInt(bits + 1)) - 1n)) === 0n && at + (1n << BigInt(bits + 1)) - 1n <= last)
      bits++;
    prefixes.push({ address: bytesOf(at, from.length), length: size - bits });
    at += 1n << BigInt(bits);
  }
  return prefixes;
}

/** A number as so many bytes, the first the most significant; one that is too large from its start again. */
export function bytesOf(number: bigint, length: number): Uint8Array {
  return Uint8Array.from(
    Buffer.from((number % (1n << BigInt(8 * length))).toString(16).padStart(2 * length, "0"), "hex"),
  );
}

/** Writes netlink messages into one growable buffer that is used again and again. */
import {
  attributeHeaderLength,
  maximumAttributeLength,
  messageFlags,
  messageHeaderLength,
  nestedFlag,
} from "./constants.ts";

const utf8 = new TextEncoder();

/**
 * A buffer of netlink messages. A message is {@link begin}, the family's fixed header ({@link u8} to {@link bytes}),
 * attributes, {@link end}. Numbers are in host byte order (little-endian) unless the name says `BE`, network order.
 * Nothing is allocated while the buffer is large enough.
 */
export class NetlinkWriter {
  #buffer: Uint8Array;
  #view: DataView;
  #length = 0;
  #message = 0;

  /** @param capacity the bytes to start with; it doubles as needed. */
  constructor(capacity = 4096) {
    this.#buffer = new Uint8Array(capacity);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** The bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** The whole buffer, of which the first {@link length} bytes are written: valid until the next write. */
  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** Forgets everything written, keeps the buffer. */
  reset(): void {
    this.#length = 0;
  }

  /** Starts a message. {@link messageFlags}.request is added to the flags. */
  begin(type: number, flags: number, sequence: number): void {
    const at = this.#reserve(messageHeaderLength);
    this.#message = at;
    this.#view.setUint16(at + 4, type, true);
    this.#view.setUint16(at + 6, flags | messageFlags.request, true);
    this.#view.setUint32(at + 8, sequence, true);
    this.#view.setUint32(at + 12, 0, true);
  }

  /** Ends the message that {@link begin} started: writes its length. */
  end(): void {
    this.#view.setUint32(this.#message, this.#length - this.#message, true);
  }

  /** Adds header flags to the message that was begun last. */
  addFlags(flags: number): void {
    const at = this.#message + 6;
    this.#view.setUint16(at, this.#view.getUint16(at, true) | flags, true);
  }

  /** One byte of a fixed header. */
  u8(value: number): void {
    const at = this.#extend(1);
    this.#buffer[at] = value;
  }

  /** Two bytes of a fixed header. */
  u16(value: number): void {
    const at = this.#extend(2);
    this.#view.setUint16(at, value, true);
  }

  /** Two bytes of a fixed header in network order. */
  u16BE(value: number): void {
    const at = this.#extend(2);
    this.#view.setUint16(at, value);
  }

  /** Four bytes of a fixed header. */
  u32(value: number): void {
    const at = this.#extend(4);
    this.#view.setUint32(at, value, true);
  }

  /** Bytes of a fixed header. */
  bytes(value: Uint8Array): void {
    const at = this.#extend(value.length);
    this.#buffer.set(value, at);
  }

  /** An attribute without a value: being there is its meaning. */
  flag(type: number): void {
    this.#header(type, 0);
  }

  /** An attribute of one byte. */
  attributeU8(type: number, value: number): void {
    const at = this.#header(type, 1);
    this.#view.setUint32(at, value & 0xff, true);
  }

  /** An attribute of two bytes. */
  attributeU16(type: number, value: number): void {
    const at = this.#header(type, 2);
    this.#view.setUint32(at, value & 0xffff, true);
  }

  /** An attribute of two bytes in network order. */
  attributeU16BE(type: number, value: number): void {
    const at = this.#header(type, 2);
    this.#view.setUint32(at, 0, true);
    this.#view.setUint16(at, value);
  }

  /** An attribute of four bytes; negative numbers as two's complement. */
  attributeU32(type: number, value: number): void {
    const at = this.#header(type, 4);
    this.#view.setUint32(at, value, true);
  }

  /** An attribute of four bytes in network order; negative numbers as two's complement. */
  attributeU32BE(type: number, value: number): void {
    const at = this.#header(type, 4);
    this.#view.setUint32(at, value);
  }

  /** An attribute of eight bytes. A `number` must be a whole one from 0 to 2^53. */
  attributeU64(type: number, value: number | bigint): void {
    const at = this.#header(type, 8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  /** An attribute of eight bytes in network order. A `number` must be a whole one from 0 to 2^53. */
  attributeU64BE(type: number, value: number | bigint): void {
    const at = this.#header(type, 8);
    if (typeof value === "bigint") {
      this.#view.setBigUint64(at, value);
    } else {
      this.#view.setUint32(at, Math.floor(value / 2 ** 32));
      this.#view.setUint32(at + 4, value >>> 0);
    }
  }

  /**
   * An attribute of text in UTF-8 with a closing NUL.
   *
   * @throws {TypeError} if the text contains a NUL: the kernel would see it cut off there.
   */
  attributeString(type: number, text: string): void {
    const length = text.length;
    const start = this.#length;
    const at = this.#header(type, length + 1);
    const buffer = this.#buffer;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0) throw new TypeError(`${JSON.stringify(text)} contains a NUL character`);
      if (code > 127) {
        this.#length = start;
        this.attributeBytes(type, utf8.encode(`${text}\0`));
        return;
      }
      buffer[at + i] = code;
    }
  }

  /** An attribute of these bytes. */
  attributeBytes(type: number, value: Uint8Array): void {
    const length = value.length;
    const at = this.#header(type, length);
    const buffer = this.#buffer;
    // A loop is faster than set() for the few bytes of a usual value.
    if (length > 64) buffer.set(value, at);
    else for (let i = 0; i < length; i++) buffer[at + i] = value[i] as number;
  }

  /** Starts an attribute that contains attributes. @returns what {@link endNested} takes. */
  beginNested(type: number): number {
    const at = this.#reserve(attributeHeaderLength);
    this.#view.setUint16(at + 2, type | nestedFlag, true);
    return at;
  }

  /**
   * Ends a nested attribute.
   *
   * @throws {RangeError} if it exceeds 65,535 bytes: the kernel would read the length modulo 65,536, without an error.
   */
  endNested(start: number): void {
    const length = this.#length - start;
    if (length > maximumAttributeLength) {
      throw new RangeError(`a netlink attribute of ${length} bytes exceeds the ${maximumAttributeLength} possible`);
    }
    this.#view.setUint16(start, length, true);
  }

  /** Writes an attribute's header and zeroes its last word, so that the padding is zero. @returns the value's offset. */
  #header(type: number, valueLength: number): number {
    const length = attributeHeaderLength + valueLength;
    if (length > maximumAttributeLength) {
      throw new RangeError(`a netlink attribute of ${length} bytes exceeds the ${maximumAttributeLength} possible`);
    }
    const padded = (length + 3) & ~3;
    const at = this.#reserve(padded);
    this.#view.setUint32(at + padded - 4, 0, true);
    this.#view.setUint32(at, length | (type << 16), true);
    return at + attributeHeaderLength;
  }

  /** Makes room at the next multiple of four. @returns the offset of the new bytes. */
  #reserve(count: number): number {
    const at = (this.#length + 3) & ~3;
    const end = at + count;
    if (end > this.#buffer.length) this.#grow(end);
    this.#length = end;
    return at;
  }

  /** Makes room at the very end. @returns the offset of the new bytes. */
  #extend(count: number): number {
    const at = this.#length;
    const end = at + count;
    // Attributes start at multiples of four: the gap before the first must be zero.
    if (end + 3 > this.#buffer.length) this.#grow(end + 3);
    this.#buffer.fill(0, at, (end + 3) & ~3);
    this.#length = end;
    return at;
  }

  #grow(needed: number): void {
    const buffer = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
    buffer.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer);
  }
}

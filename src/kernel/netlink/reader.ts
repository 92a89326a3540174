/** Reads netlink messages and attributes, every access checked: no input can make it read outside or loop. */
import { attributeHeaderLength, attributeTypeMask, messageHeaderLength, nestedFlag } from "./constants.ts";
import { NetlinkFormatError } from "./errors.ts";

const utf8 = new TextDecoder();

/**
 * A cursor over the messages of a datagram:
 *
 * ```ts
 * for (const message = new MessageReader(bytes); message.next(); ) use(message.type, message.attributes(4));
 * ```
 */
export class MessageReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #next = 0;
  #start = 0;
  #length = 0;

  /**
   * @param length how many bytes of the buffer are the datagram.
   * @param view of the same bytes, where a buffer is read again and again.
   */
  constructor(bytes: Uint8Array, length = bytes.length, view?: DataView) {
    if (length > bytes.length) throw new RangeError(`${length} bytes exceed the buffer of ${bytes.length}`);
    this.#bytes = bytes;
    this.#view = view ?? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = length;
  }

  /**
   * Goes to the next message.
   *
   * @returns false at the end.
   * @throws {NetlinkFormatError} if what follows is not a whole message.
   */
  next(): boolean {
    const start = this.#next;
    const left = this.#end - start;
    if (left <= 0) return false;
    if (left < messageHeaderLength) throw new NetlinkFormatError(`message header cut off after ${left} bytes`);
    const length = this.#view.getUint32(start, true);
    if (length < messageHeaderLength || length > left) {
      throw new NetlinkFormatError(`message length ${length} with ${left} bytes left`);
    }
    this.#start = start;
    this.#length = length;
    this.#next = start + ((length + 3) & ~3);
    return true;
  }

  /** The message's type (`nlmsg_type`). */
  get type(): number {
    return this.#view.getUint16(this.#start + 4, true);
  }

  /** The message's flags (`nlmsg_flags`). */
  get flags(): number {
    return this.#view.getUint16(this.#start + 6, true);
  }

  /** The message's sequence number. */
  get sequence(): number {
    return this.#view.getUint32(this.#start + 8, true);
  }

  /** The port of who caused the message, 0 for the kernel. */
  get port(): number {
    return this.#view.getUint32(this.#start + 12, true);
  }

  /** Where the message starts in the buffer, and its length with the header. */
  get offset(): number {
    return this.#start;
  }

  get length(): number {
    return this.#length;
  }

  /** What follows the message header: a view of the buffer. */
  get payload(): Uint8Array {
    return this.#bytes.subarray(this.#start + messageHeaderLength, this.#start + this.#length);
  }

  /** A byte of the payload, such as nfgenmsg's family at 0. */
  u8(offset: number): number {
    return this.#view.getUint8(this.#field(offset, 1));
  }

  /** Two bytes of the payload in host order. */
  u16(offset: number): number {
    return this.#view.getUint16(this.#field(offset, 2), true);
  }

  /** Two bytes of the payload in network order. */
  u16BE(offset: number): number {
    return this.#view.getUint16(this.#field(offset, 2));
  }

  /** Four bytes of the payload in host order. */
  u32(offset: number): number {
    return this.#view.getUint32(this.#field(offset, 4), true);
  }

  /** Four bytes of the payload in host order, signed. */
  i32(offset: number): number {
    return this.#view.getInt32(this.#field(offset, 4), true);
  }

  /** The attributes behind the family's fixed header of so many bytes. */
  attributes(headerLength: number): AttributeReader {
    const start = messageHeaderLength + ((headerLength + 3) & ~3);
    if (messageHeaderLength + headerLength > this.#length) {
      throw new NetlinkFormatError(`message of ${this.#length} bytes without its header of ${headerLength}`);
    }
    const from = this.#start + Math.min(start, this.#length);
    return new AttributeReader(this.#bytes, from, this.#start + this.#length, this.#view);
  }

  #field(offset: number, size: number): number {
    if (offset < 0 || messageHeaderLength + offset + size > this.#length) {
      throw new NetlinkFormatError(`message of ${this.#length} bytes without a field at ${offset}`);
    }
    return this.#start + messageHeaderLength + offset;
  }
}

/**
 * A cursor over attributes:
 *
 * ```ts
 * for (const attribute = message.attributes(4); attribute.next(); ) {
 *   if (attribute.type === 1) name = attribute.string();
 * }
 * ```
 *
 * Number readers demand exactly their size, and throw {@link NetlinkFormatError} otherwise.
 */
export class AttributeReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #next: number;
  #value = 0;
  #valueEnd = 0;
  #type = 0;

  /** Reads the attributes in `bytes` from `start` to before `end`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length, view?: DataView) {
    if (start < 0 || start > end || end > bytes.length) throw new RangeError(`no bytes ${start} to ${end}`);
    this.#bytes = bytes;
    this.#view = view ?? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#next = start;
    this.#end = end;
  }

  /**
   * Goes to the next attribute.
   *
   * @returns false at the end.
   * @throws {NetlinkFormatError} if what follows is not a whole attribute.
   */
  next(): boolean {
    const start = this.#next;
    const left = this.#end - start;
    if (left <= 0) return false;
    if (left < attributeHeaderLength) throw new NetlinkFormatError(`attribute header cut off after ${left} bytes`);
    const length = this.#view.getUint16(start, true);
    if (length < attributeHeaderLength || length > left) {
      throw new NetlinkFormatError(`attribute length ${length} with ${left} bytes left`);
    }
    this.#type = this.#view.getUint16(start + 2, true);
    this.#value = start + attributeHeaderLength;
    this.#valueEnd = start + length;
    this.#next = start + ((length + 3) & ~3);
    return true;
  }

  /** The attribute's type, without the flags for nesting and byte order. */
  get type(): number {
    return this.#type & attributeTypeMask;
  }

  /** True if the attribute says of itself that it contains attributes (older families do not say so). */
  get isNested(): boolean {
    return (this.#type & nestedFlag) !== 0;
  }

  /** Bytes of the value. */
  get length(): number {
    return this.#valueEnd - this.#value;
  }

  /** Where the value starts in the buffer. */
  get offset(): number {
    return this.#value;
  }

  /** The value: a view of the buffer, which will be used again. See {@link copy}. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(this.#value, this.#valueEnd);
  }

  /** The value as newly allocated bytes. */
  copy(): Uint8Array {
    return this.#bytes.slice(this.#value, this.#valueEnd);
  }

  /** A number of one byte. */
  u8(): number {
    return this.#view.getUint8(this.#sized(1));
  }

  /** A number of two bytes. */
  u16(): number {
    return this.#view.getUint16(this.#sized(2), true);
  }

  /** A number of two bytes in network order. */
  u16BE(): number {
    return this.#view.getUint16(this.#sized(2));
  }

  /** A number of four bytes. */
  u32(): number {
    return this.#view.getUint32(this.#sized(4), true);
  }

  /** A signed number of four bytes. */
  i32(): number {
    return this.#view.getInt32(this.#sized(4), true);
  }

  /** A number of four bytes in network order. */
  u32BE(): number {
    return this.#view.getUint32(this.#sized(4));
  }

  /** A signed number of four bytes in network order. */
  i32BE(): number {
    return this.#view.getInt32(this.#sized(4));
  }

  /** A number of eight bytes. */
  u64(): bigint {
    return this.#view.getBigUint64(this.#sized(8), true);
  }

  /** A number of eight bytes in network order, rounded to a double: exact up to 2^53. */
  u64BE(): number {
    const at = this.#sized(8);
    return this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
  }

  /** Text in UTF-8, up to the first NUL if there is one. */
  string(): string {
    const bytes = this.#bytes;
    let text = "";
    for (let i = this.#value; i < this.#valueEnd; i++) {
      const byte = bytes[i] as number;
      if (byte === 0) return text;
      if (byte > 127) {
        const nul = bytes.indexOf(0, i);
        return utf8.decode(bytes.subarray(this.#value, nul < 0 || nul > this.#valueEnd ? this.#valueEnd : nul));
      }
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** The attributes that this one contains. */
  nested(): AttributeReader {
    return new AttributeReader(this.#bytes, this.#value, this.#valueEnd, this.#view);
  }

  #sized(size: number): number {
    if (this.#valueEnd - this.#value !== size) {
      throw new NetlinkFormatError(`attribute ${this.type} has ${this.length} bytes, not ${size}`);
    }
    return this.#value;
  }
}

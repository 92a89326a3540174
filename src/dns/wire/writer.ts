/** Writing of messages in wire format. */
import { escapeLength, MAX_NAME, nextLabel, wireLength } from "./names.ts";

/** A message does not fit into the size it was given. */
export class OverflowError extends Error {
  override name = "OverflowError";
}

/** Offsets above this cannot be pointed at. */
const MAX_POINTER = 0x3fff;

/**
 * A growing message in a buffer that is used again and again: `begin` starts the next one, and makes what an earlier
 * {@link Writer.message} returned invalid.
 */
export class Writer {
  readonly #buffer: Buffer;
  /** The offset of the next byte. */
  at = 0;
  /** True to write all names without compression. */
  uncompressed = false;
  #end = 0;
  /** The first name of the message, nearly always the name that is asked for and answered. */
  #first = "";
  #firstAt = 0;
  /** True if it has no escapes: each character is a byte then, and each dot a length. */
  #firstPlain = false;
  /**
   * Suffixes of other names that were written, with their offsets; those of the first too if it has escapes. Each
   * message has its own map: one that is cleared again and again keeps its former tables from the garbage collector.
   */
  #suffixes = new Map<string, number>();

  /** @param capacity the largest message, in bytes. */
  constructor(capacity = 65535) {
    this.#buffer = Buffer.alloc(capacity);
  }

  /** Starts a message of at most `limit` bytes. */
  begin(limit = this.#buffer.length): void {
    this.at = 0;
    this.#end = Math.min(limit, this.#buffer.length);
    this.#first = "";
    if (this.#suffixes.size > 0) this.#suffixes = new Map();
  }

  /** Changes the size that the message may have. */
  limit(bytes: number): void {
    this.#end = Math.min(bytes, this.#buffer.length);
  }

  /** The bytes of the message: a view that is valid until the next `begin`. */
  message(): Buffer {
    return this.#buffer.subarray(0, this.at);
  }

  u8(value: number): void {
    this.#need(1);
    this.#buffer[this.at++] = value;
  }

  u16(value: number): void {
    this.#need(2);
    const buffer = this.#buffer;
    buffer[this.at++] = value >> 8;
    buffer[this.at++] = value;
  }

  u32(value: number): void {
    this.#need(4);
    const buffer = this.#buffer;
    buffer[this.at++] = value >>> 24;
    buffer[this.at++] = value >>> 16;
    buffer[this.at++] = value >>> 8;
    buffer[this.at++] = value;
  }

  bytes(bytes: Uint8Array): void {
    this.#need(bytes.length);
    this.#buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Writes a string with one character for each byte. */
  text(text: string): void {
    this.#need(text.length);
    this.#buffer.write(text, this.at, "latin1");
    this.at += text.length;
  }

  /** Writes a 16-bit value at an offset that was written before. */
  patch16(at: number, value: number): void {
    this.#buffer[at] = value >> 8;
    this.#buffer[at + 1] = value;
  }

  /** Takes back everything from the offset `at` on. */
  rewind(at: number): void {
    this.at = at;
    if (this.#firstAt >= at) this.#first = "";
    if (this.#suffixes.size === 0) return;
    for (const [suffix, offset] of this.#suffixes) if (offset >= at) this.#suffixes.delete(suffix);
  }

  /**
   * Writes an absolute name, with a pointer to an earlier suffix of the same case where there is one (RFC 1035 4.1.4).
   *
   * @throws {RangeError} if it has an empty or too long label, or is too long.
   */
  domain(name: string): void {
    if (name.length >= MAX_NAME && wireLength(name) === undefined) throw new RangeError(`${name} is too long`);
    if (this.uncompressed) {
      this.plainDomain(name);
    } else if (name === this.#first) {
      this.u16(0xc000 | this.#firstAt);
    } else if (this.#first === "" && this.at <= MAX_POINTER && name !== ".") {
      this.#first = name;
      this.#firstAt = this.at;
      this.#firstPlain = !name.includes("\\");
      this.plainDomain(name);
    } else {
      this.#compressed(name);
    }
  }

  /** Writes an absolute name without compression, as types newer than RFC 1035 demand (RFC 3597 4). */
  plainDomain(name: string): void {
    for (let start = 0; start < name.length && name !== "."; ) start = this.#label(name, start);
    this.u8(0);
  }

  #compressed(name: string): void {
    const suffixes = this.#suffixes;
    if (suffixes.size === 0 && !this.#firstPlain) this.#remember(this.#first, this.#firstAt);
    for (let start = 0; start < name.length && name !== "."; ) {
      const suffix = start === 0 ? name : name.slice(start);
      const known = this.#inFirst(suffix) ?? suffixes.get(suffix);
      if (known !== undefined) {
        this.u16(0xc000 | known);
        return;
      }
      if (this.at <= MAX_POINTER) suffixes.set(suffix, this.at);
      start = this.#label(name, start);
    }
    this.u8(0);
  }

  /** Where a suffix of the first name stands. */
  #inFirst(suffix: string): number | undefined {
    const first = this.#first;
    const before = first.length - suffix.length;
    if (before < 0 || !this.#firstPlain) return undefined;
    if ((before > 0 && first.charCodeAt(before - 1) !== 46) || !first.endsWith(suffix)) return undefined;
    const at = this.#firstAt + before;
    return at <= MAX_POINTER ? at : undefined;
  }

  #remember(name: string, at: number): void {
    for (let start = 0, offset = at; start < name.length; ) {
      if (offset <= MAX_POINTER) this.#suffixes.set(start === 0 ? name : name.slice(start), offset);
      offset += 1 + (this.#buffer[offset] ?? 0);
      start = nextLabel(name, start);
    }
  }

  /** Writes the label that starts at `start` with its length; returns where the next one starts. */
  #label(name: string, start: number): number {
    const buffer = this.#buffer;
    const lengthAt = this.at;
    let at = lengthAt + 1;
    let i = start;
    for (; i < name.length; i++) {
      let code = name.charCodeAt(i);
      if (code === 46) break;
      if (code === 92) {
        const escaped = escapeLength(name, i);
        code = escaped === 4 ? Number(name.slice(i + 1, i + 4)) : name.charCodeAt(i + 1);
        i += escaped === 4 ? 3 : 1;
      }
      if (at >= this.#end) throw new OverflowError("the message is full");
      buffer[at++] = code;
    }
    const length = at - lengthAt - 1;
    if (length === 0 || length > 63) throw new RangeError(`${JSON.stringify(name)} has a label of ${length} bytes`);
    if (lengthAt >= this.#end) throw new OverflowError("the message is full");
    buffer[lengthAt] = length;
    this.at = at;
    return i + 1;
  }

  #need(length: number): void {
    if (this.at + length > this.#end) throw new OverflowError("the message is full");
  }
}

/** Reading of messages in wire format. */
import { labelByte, MAX_NAME, plainLabelByte } from "./names.ts";

/** A message that is not well formed: cut short, a name too long, a pointer that does not point back, ... */
export class WireError extends Error {
  override name = "WireError";
}

/** The most labels that a name can have. */
const MAX_LABELS = 127;

/** Names are put together here, to be turned into a string at once. */
const scratch = Buffer.alloc(MAX_NAME);

/** A cursor over the bytes of one message. Every read is checked against the end; names are checked in full. */
export class Reader {
  readonly bytes: Uint8Array;
  /** The offset of the next byte. */
  at: number;
  /** The offset past the last byte that may be read. */
  end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** The number of bytes left. */
  get left(): number {
    return this.end - this.at;
  }

  u8(): number {
    this.#need(1);
    return this.bytes[this.at++] ?? 0;
  }

  u16(): number {
    this.#need(2);
    const { bytes, at } = this;
    this.at = at + 2;
    return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16();
  }

  /** The next `length` bytes, copied. */
  take(length: number): Uint8Array {
    this.#need(length);
    const start = this.at;
    this.at += length;
    return new Uint8Array(this.bytes.subarray(start, this.at));
  }

  /** The next `length` bytes as a string with one character for each byte. */
  text(length: number): string {
    this.#need(length);
    let text = "";
    for (const end = this.at + length; this.at < end; this.at++) text += String.fromCharCode(this.bytes[this.at] ?? 0);
    return text;
  }

  /**
   * A name, which may be compressed. A pointer must point before everything that was read of this name so far, so that
   * no chain of pointers is endless; the whole is limited to 255 bytes.
   *
   * @throws {WireError} for a name that is not well formed.
   */
  domain(): string {
    const { bytes } = this;
    let at = this.at;
    let lowest = at;
    let after = -1;
    let length = 1;
    let filled = 0;
    let plain = true;
    let jumps = 0;
    for (;;) {
      if (at >= (after < 0 ? this.end : bytes.length)) throw new WireError("a name runs past the end");
      const size = bytes[at++] ?? 0;
      if (size === 0) break;
      if (size >= 0xc0) {
        if (at >= bytes.length) throw new WireError("a name runs past the end");
        const target = ((size & 0x3f) << 8) | (bytes[at++] ?? 0);
        if (after < 0) after = at;
        if (target >= lowest) throw new WireError("a compression pointer does not point back");
        if (++jumps > MAX_LABELS) throw new WireError("a name has more pointers than it can have labels");
        lowest = target;
        at = target;
        continue;
      }
      if (size > 63) throw new WireError("a label of unknown kind");
      length += size + 1;
      if (length > MAX_NAME) throw new WireError("a name is longer than 255 bytes");
      const end = at + size;
      if (end > bytes.length) throw new WireError("a name runs past the end");
      for (; at < end; at++) {
        const byte = bytes[at] ?? 0;
        if (plainLabelByte[byte] === 0) plain = false;
        scratch[filled++] = byte;
      }
      scratch[filled++] = 46;
    }
    const start = this.at;
    this.at = after < 0 ? at : after;
    if (this.at > this.end) throw new WireError("a name runs past the end");
    if (filled === 0) return ".";
    return plain ? scratch.toString("latin1", 0, filled) : escapedName(bytes, start);
  }

  #need(length: number): void {
    if (this.at + length > this.end) throw new WireError(`cut short at byte ${this.at}`);
  }
}

/** The text of a name with special characters, which is known to be well formed. */
function escapedName(bytes: Uint8Array, start: number): string {
  let text = "";
  for (let at = start; ; ) {
    const size = bytes[at++] ?? 0;
    if (size === 0) return text;
    if (size >= 0xc0) {
      at = ((size & 0x3f) << 8) | (bytes[at] ?? 0);
      continue;
    }
    for (const end = at + size; at < end; at++) text += labelByte(bytes[at] ?? 0);
    text += ".";
  }
}

/** The kinds of field that record data consists of: each can be read and written in wire and in presentation format. */
import { type Address, addressBytes, addressFromBytes, tryParseAddress } from "../../net/address.ts";
import { fromBase32Hex, toBase32Hex } from "./base32.ts";
import { tryParseType, typeName } from "./codes.ts";
import { type Reader, WireError } from "./reader.ts";
import { quote, TextError, unescapeText, type Words } from "./text.ts";
import type { Writer } from "./writer.ts";

/** One kind of field. The reader's `end` is the end of the record's data. */
export interface Field<T> {
  read(reader: Reader): T;
  write(writer: Writer, value: T): void;
  /** @param what the name of the field, for errors. */
  parse(words: Words, what: string): T;
  format(value: T): string;
}

/** An 8-bit number. */
export const u8: Field<number> = {
  read: (reader) => reader.u8(),
  write: (writer, value) => writer.u8(value),
  parse: (words, what) => words.number(what, 0xff),
  format: String,
};

/** A 16-bit number. */
export const u16: Field<number> = {
  read: (reader) => reader.u16(),
  write: (writer, value) => writer.u16(value),
  parse: (words, what) => words.number(what, 0xffff),
  format: String,
};

/** A 32-bit number. */
export const u32: Field<number> = {
  read: (reader) => reader.u32(),
  write: (writer, value) => writer.u32(value),
  parse: (words, what) => words.number(what, 0xffffffff),
  format: String,
};

/** Seconds in 32 bits; the text may use the units s, m, h, d and w (`1h30m`). */
export const seconds: Field<number> = {
  ...u32,
  parse(words, what) {
    const { text } = words.next(what);
    const value = tryParseTtl(text);
    if (value === undefined) throw new TextError(`${what} is ${JSON.stringify(text)}, must be seconds like 3600 or 1h`);
    return value;
  },
};

/** A name that may be compressed: only in the types of RFC 1035. */
export const domain: Field<string> = {
  read: (reader) => reader.domain(),
  write: (writer, value) => writer.domain(value),
  parse: (words, what) => words.name(what),
  format: (value) => value,
};

/** A name that is never compressed. */
export const plainDomain: Field<string> = { ...domain, write: (writer, value) => writer.plainDomain(value) };

/** An IPv4 address. */
export const ipv4: Field<Address> = {
  read: (reader) => `${reader.u8()}.${reader.u8()}.${reader.u8()}.${reader.u8()}` as Address,
  write(writer, value) {
    let octet = 0;
    let octets = 0;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code === 46) {
        writer.u8(octet);
        octets++;
        octet = 0;
      } else {
        octet = octet * 10 + code - 48;
      }
    }
    writer.u8(octet);
    if (octets !== 3) throw new RangeError(`${value} is not an IPv4 address`);
  },
  parse: (words, what) => addressOf(words, what, false),
  format: (value) => value,
};

/** An IPv6 address. */
export const ipv6: Field<Address> = {
  read: (reader) => addressFromBytes(reader.take(16)),
  write: (writer, value) => writer.bytes(addressBytes(value)),
  parse: (words, what) => addressOf(words, what, true),
  format: (value) => value,
};

/** A character string of up to 255 bytes: a string with one character for each byte. */
export const text: Field<string> = {
  read: (reader) => reader.text(reader.u8()),
  write(writer, value) {
    if (value.length > 255) throw new RangeError(`a character string of ${value.length} bytes`);
    writer.u8(value.length);
    writer.text(value);
  },
  parse(words, what) {
    const value = unescapeText(words.next(what).text);
    if (value.length > 255) throw new TextError(`${what} is longer than 255 bytes`);
    return value;
  },
  format: quote,
};

/** One or more character strings, to the end of the data. */
export const texts: Field<readonly string[]> = {
  read(reader) {
    const values = [];
    do values.push(text.read(reader));
    while (reader.left > 0);
    return values;
  },
  write(writer, values) {
    for (const value of values) text.write(writer, value);
  },
  parse(words, what) {
    const values = [];
    do values.push(text.parse(words, what));
    while (!words.done);
    return values;
  },
  format: (values) => values.map(quote).join(" "),
};

/** A byte string to the end of the data, in quotes. */
export const longText: Field<string> = {
  read: (reader) => reader.text(reader.left),
  write: (writer, value) => writer.text(value),
  parse: (words, what) => unescapeText(words.next(what).text),
  format: quote,
};

/** A tag of CAA: a character string that is written without quotes (RFC 8659 4.1). */
export const tag: Field<string> = {
  ...text,
  parse(words, what) {
    const value = words.next(what).text;
    if (!/^[0-9A-Za-z]{1,255}$/.test(value))
      throw new TextError(`${what} is ${JSON.stringify(value)}, must be letters`);
    return value;
  },
  format: (value) => value.replace(/[^!-~]|["\\();]/g, (character) => quote(character).slice(1, -1)),
};

/** Bytes to the end of the data, in hexadecimal; blanks may stand between them. */
export const hex: Field<Uint8Array> = {
  read: (reader) => reader.take(reader.left),
  write: (writer, value) => writer.bytes(value),
  parse(words, what) {
    return fromHex(joined(words, what), what);
  },
  format: (value) => Buffer.from(value).toString("hex").toUpperCase(),
};

/** A salt: up to 255 bytes in hexadecimal, `-` if there are none (RFC 5155 3.3). */
export const salt: Field<Uint8Array> = {
  read: (reader) => reader.take(reader.u8()),
  write: (writer, value) => writeShort(writer, value),
  parse(words, what) {
    const value = words.next(what).text;
    return value === "-" ? new Uint8Array() : fromHex(value, what);
  },
  format: (value) => (value.length === 0 ? "-" : hex.format(value)),
};

/** Bytes to the end of the data, in base64; blanks may stand between them. */
export const base64: Field<Uint8Array> = {
  read: (reader) => reader.take(reader.left),
  write: (writer, value) => writer.bytes(value),
  parse(words, what) {
    const value = joined(words, what);
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) throw new TextError(`${what} is not base64`);
    return new Uint8Array(Buffer.from(value, "base64"));
  },
  format: (value) => Buffer.from(value).toString("base64"),
};

/** Up to 255 bytes with a length, in base32 with the extended hex alphabet (RFC 5155 3.3). */
export const base32: Field<Uint8Array> = {
  read: (reader) => reader.take(reader.u8()),
  write: (writer, value) => writeShort(writer, value),
  parse(words, what) {
    const value = fromBase32Hex(words.next(what).text);
    if (value === undefined) throw new TextError(`${what} is not base32 in the extended hex alphabet`);
    return value;
  },
  format: toBase32Hex,
};

/** A record type by number. */
export const recordType: Field<number> = {
  ...u16,
  parse(words, what) {
    const { text: value } = words.next(what);
    const type = tryParseType(value);
    if (type === undefined) throw new TextError(`${what} is ${JSON.stringify(value)}, must be a record type`);
    return type;
  },
  format: typeName,
};

/** A set of record types as a bitmap in windows (RFC 4034 4.1.2), ascending. */
export const typeSet: Field<readonly number[]> = {
  read(reader) {
    const types: number[] = [];
    let last = -1;
    while (reader.left > 0) {
      const window = reader.u8();
      const length = reader.u8();
      if (window <= last || length === 0 || length > 32) throw new WireError("a bitmap of types is not well formed");
      last = window;
      for (let i = 0; i < length; i++) {
        const byte = reader.u8();
        for (let bit = 0; bit < 8; bit++) if (byte & (0x80 >> bit)) types.push(window * 256 + i * 8 + bit);
      }
    }
    return types;
  },
  write(writer, types) {
    const windows = new Map<number, Uint8Array>();
    for (const type of [...types].sort((a, b) => a - b)) {
      const at = (type & 0xff) >> 3;
      const bits = windows.get(type >> 8) ?? new Uint8Array(32);
      bits[at] = (bits[at] ?? 0) | (0x80 >> (type & 7));
      windows.set(type >> 8, bits);
    }
    for (const [window, bits] of windows) {
      const length = bits.findLastIndex((byte) => byte !== 0) + 1;
      writer.u8(window);
      writer.u8(length);
      writer.bytes(bits.subarray(0, length));
    }
  },
  parse(words, what) {
    const types = [];
    while (!words.done) types.push(recordType.parse(words, what));
    return [...new Set(types)].sort((a, b) => a - b);
  },
  format: (types) => types.map(typeName).join(" "),
};

/** A moment in seconds since 1970 modulo 2^32, written as YYYYMMDDHHmmSS in UTC (RFC 4034 3.2). */
export const moment: Field<number> = {
  ...u32,
  parse(words, what) {
    const { text: value } = words.next(what);
    const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(value)?.slice(1).map(Number);
    if (parts) {
      const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts;
      return (Date.UTC(year, month - 1, day, hour, minute, second) / 1000) % 0x100000000;
    }
    if (/^\d{1,10}$/.test(value) && Number(value) <= 0xffffffff) return Number(value);
    throw new TextError(`${what} is ${JSON.stringify(value)}, must be a time like 20301231235959`);
  },
  format: (value) => new Date(value * 1000).toISOString().replace(/[-:T]|\..*/g, ""),
};

/** Seconds written as a number or with units: `90`, `1h30m`; undefined if it is neither or above 2^31 - 1 (RFC 2181 8). */
export function tryParseTtl(value: string): number | undefined {
  let total: number;
  if (/^\d{1,10}$/.test(value)) {
    total = Number(value);
  } else if (/^(\d{1,9}[smhdw])+$/i.test(value)) {
    total = 0;
    for (const [, amount, unit] of value.matchAll(/(\d+)([smhdw])/gi)) {
      total += Number(amount) * (unitSeconds[(unit ?? "").toLowerCase()] ?? 0);
    }
  } else {
    return undefined;
  }
  return total <= 0x7fffffff ? total : undefined;
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

function addressOf(words: Words, what: string, six: boolean): Address {
  const { text: value } = words.next(what);
  const address = tryParseAddress(value);
  if (address === undefined || address.includes(":") !== six) {
    throw new TextError(`${what} is ${JSON.stringify(value)}, must be an IPv${six ? 6 : 4} address`);
  }
  return address;
}

/** Bytes of hexadecimal text. */
export function fromHex(value: string, what: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2})*$/.test(value)) throw new TextError(`${what} is not pairs of hexadecimal digits`);
  return new Uint8Array(Buffer.from(value, "hex"));
}

function joined(words: Words, what: string): string {
  const rest = words.rest();
  if (rest.length === 0) throw new TextError(`${what} is missing`);
  return rest.map((word) => word.text).join("");
}

function writeShort(writer: Writer, value: Uint8Array): void {
  if (value.length > 255) throw new RangeError(`a field of ${value.length} bytes has a length of one byte`);
  writer.u8(value.length);
  writer.bytes(value);
}

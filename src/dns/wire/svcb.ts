/** The service parameters of SVCB and HTTPS records (RFC 9460). */
import { addressBytes, addressFromBytes, tryParseAddress } from "../../net/address.ts";
import type { Field } from "./fields.ts";
import { WireError } from "./reader.ts";
import { quote, TextError, unescapeText } from "./text.ts";

/** A parameter: its key and its value in wire format. */
export interface ServiceParameter {
  readonly key: number;
  readonly value: Uint8Array;
}

/** How the values of a key are written; keys that are not here are `key123` with a byte string. */
interface ParameterKind {
  readonly name: string;
  format(value: Uint8Array): string;
  parse(text: string): Uint8Array | undefined;
}

const addresses = (size: 4 | 16): Pick<ParameterKind, "format" | "parse"> => ({
  format: (value) =>
    Array.from({ length: value.length / size }, (_, i) =>
      addressFromBytes(value.subarray(i * size, (i + 1) * size)),
    ).join(","),
  parse(text) {
    const parsed = text.split(",").map((part) => tryParseAddress(part));
    const bytes = parsed.flatMap((address) => (address === undefined ? [] : [addressBytes(address)]));
    return bytes.length === parsed.length && bytes.every((one) => one.length === size)
      ? Buffer.concat(bytes)
      : undefined;
  },
});

const kinds: readonly ParameterKind[] = [
  {
    name: "mandatory",
    format: (value) => Array.from({ length: value.length / 2 }, (_, i) => keyName(u16At(value, 2 * i))).join(","),
    parse(text) {
      const keys = text.split(",").map(keyNumber);
      return keys.includes(undefined)
        ? undefined
        : Buffer.concat(keys.sort((a = 0, b = 0) => a - b).map((key = 0) => u16Bytes(key)));
    },
  },
  {
    name: "alpn",
    format(value) {
      const ids = [];
      for (let at = 0; at < value.length; at += 1 + (value[at] ?? 0)) {
        ids.push(bytesText(value.subarray(at + 1, at + 1 + (value[at] ?? 0))).replace(/[\\,]/g, "\\$&"));
      }
      return quote(ids.join(","));
    },
    parse(text) {
      const ids = (text.match(/(?:[^,\\]|\\.)+/gs) ?? []).map((id) => id.replace(/\\(.)/gs, "$1"));
      if (ids.length === 0 || ids.some((id) => id.length > 255)) return undefined;
      return Buffer.concat(ids.map((id) => Buffer.from(String.fromCharCode(id.length) + id, "latin1")));
    },
  },
  { name: "no-default-alpn", format: () => "", parse: (text) => (text === "" ? new Uint8Array() : undefined) },
  {
    name: "port",
    format: (value) => (value.length === 2 ? String(u16At(value, 0)) : quote(bytesText(value))),
    parse: (text) => (/^\d{1,5}$/.test(text) && Number(text) <= 65535 ? u16Bytes(Number(text)) : undefined),
  },
  { name: "ipv4hint", ...addresses(4) },
  {
    name: "ech",
    format: (value) => `"${Buffer.from(value).toString("base64")}"`,
    parse: (text) => (/^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, "base64") : undefined),
  },
  { name: "ipv6hint", ...addresses(16) },
  { name: "dohpath", format: (value) => quote(bytesText(value)), parse: (text) => Buffer.from(text, "latin1") },
];

/** All parameters to the end of the data, in ascending order of their keys. */
export const serviceParameters: Field<readonly ServiceParameter[]> = {
  read(reader) {
    const parameters: ServiceParameter[] = [];
    let last = -1;
    while (reader.left > 0) {
      const key = reader.u16();
      if (key <= last) throw new WireError("service parameters are not in ascending order");
      last = key;
      parameters.push({ key, value: reader.take(reader.u16()) });
    }
    return parameters;
  },
  write(writer, parameters) {
    for (const { key, value } of parameters) {
      writer.u16(key);
      writer.u16(value.length);
      writer.bytes(value);
    }
  },
  parse(words) {
    const parameters = new Map<number, Uint8Array>();
    while (!words.done) {
      const word = words.next("a service parameter").text;
      const equals = word.indexOf("=");
      const name = equals < 0 ? word : word.slice(0, equals);
      const key = keyNumber(name);
      if (key === undefined || parameters.has(key))
        throw new TextError(`service parameter ${name} is unknown or given twice`);
      let text = equals < 0 ? "" : word.slice(equals + 1);
      if (equals === word.length - 1 && equals >= 0 && words.peek()?.quoted) text = words.next(name).text;
      const bytes = unescapeText(text);
      const kind = kinds[key];
      const value = kind ? kind.parse(bytes) : Buffer.from(bytes, "latin1");
      if (value === undefined)
        throw new TextError(`service parameter ${name} has the bad value ${JSON.stringify(text)}`);
      parameters.set(key, new Uint8Array(value));
    }
    return [...parameters].map(([key, value]) => ({ key, value })).sort((a, b) => a.key - b.key);
  },
  format(parameters) {
    return parameters
      .map(({ key, value }) => {
        if (value.length === 0) return keyName(key);
        return `${keyName(key)}=${kinds[key] ? kinds[key].format(value) : quote(bytesText(value))}`;
      })
      .join(" ");
  },
};

function keyName(key: number): string {
  return kinds[key]?.name ?? `key${key}`;
}

function keyNumber(name: string): number | undefined {
  const known = kinds.findIndex((kind) => kind.name === name.toLowerCase());
  if (known >= 0) return known;
  const digits = /^key(0|[1-9]\d{0,4})$/i.exec(name)?.[1];
  return digits !== undefined && Number(digits) < 65535 ? Number(digits) : undefined;
}

function bytesText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function u16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function u16Bytes(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255);
}

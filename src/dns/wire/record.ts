/** Resource records: as values, in wire format and in presentation format. */
import { CLASS, className, TYPE, typeName } from "./codes.ts";
import { hex } from "./fields.ts";
import { fieldsOf, type KnownType, type RecordData } from "./layouts.ts";
import { type Reader, WireError } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** A resource record. Narrow it to a type with {@link is}; data of unknown types is `{ bytes }`. */
export interface ResourceRecord<K extends keyof RecordData = keyof RecordData> {
  /** The owner: an absolute name. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Seconds, 0 to 2^31 - 1. */
  readonly ttl: number;
  readonly data: RecordData[K];
}

/** True if the record is of this type. */
export function is<K extends KnownType>(record: ResourceRecord, type: K): record is ResourceRecord<K> {
  return record.type === TYPE[type];
}

/** Makes a record of class IN. */
export function record<K extends KnownType>(
  name: string,
  type: K,
  ttl: number,
  data: RecordData[K],
): ResourceRecord<K> {
  return { name, type: TYPE[type], class: CLASS.IN, ttl, data };
}

/**
 * Reads a record's data, from the reader's place to `end`.
 *
 * @throws {WireError} if the data is not what the type demands.
 */
export function readData(reader: Reader, type: number, end: number): ResourceRecord["data"] {
  const fields = fieldsOf.get(type);
  if (fields === undefined) return { bytes: reader.take(end - reader.at) };
  const outer = reader.end;
  reader.end = end;
  const data: Record<string, unknown> = {};
  for (const [key, field] of fields) data[key] = field.read(reader);
  reader.end = outer;
  if (reader.at !== end) throw new WireError(`the data of a ${typeName(type)} record is too long`);
  return data as ResourceRecord["data"];
}

/** Writes a record's data, without its length. */
export function writeData(writer: Writer, type: number, data: ResourceRecord["data"]): void {
  const fields = fieldsOf.get(type);
  if (fields === undefined) {
    writer.bytes((data as RecordData["UNKNOWN"]).bytes);
    return;
  }
  const values = data as unknown as Readonly<Record<string, unknown>>;
  for (const [key, field] of fields) field.write(writer, values[key]);
}

/**
 * Reads a record.
 *
 * @throws {WireError} if it is not well formed.
 */
export function readRecord(reader: Reader): ResourceRecord {
  const name = reader.domain();
  const type = reader.u16();
  const cls = reader.u16();
  const ttl = reader.u32();
  const length = reader.u16();
  if (length > reader.left) throw new WireError("the data of a record runs past the end");
  return { name, type, class: cls, ttl: ttl > 0x7fffffff ? 0 : ttl, data: readData(reader, type, reader.at + length) };
}

/** Writes a record. */
export function writeRecord(writer: Writer, { name, type, class: cls, ttl, data }: ResourceRecord): void {
  writer.domain(name);
  writer.u16(type);
  writer.u16(cls);
  writer.u32(ttl);
  const lengthAt = writer.at;
  writer.u16(0);
  writeData(writer, type, data);
  writer.patch16(lengthAt, writer.at - lengthAt - 2);
}

/** The data of a record in presentation format; `\# length hex` for unknown types (RFC 3597 5). */
export function formatData(type: number, data: ResourceRecord["data"]): string {
  const fields = fieldsOf.get(type);
  if (fields === undefined) {
    const { bytes } = data as RecordData["UNKNOWN"];
    return bytes.length === 0 ? "\\# 0" : `\\# ${bytes.length} ${hex.format(bytes)}`;
  }
  const values = data as unknown as Readonly<Record<string, unknown>>;
  return fields
    .map(([key, field]) => field.format(values[key]))
    .filter((text) => text !== "")
    .join(" ");
}

/** A record in presentation format, its fields parted by tabs. */
export function formatRecord(record: ResourceRecord): string {
  const { name, type, class: cls, ttl, data } = record;
  return [name, ttl, className(cls), typeName(type), formatData(type, data)].join("\t");
}

/** Messages: header, question, sections and EDNS (RFC 1035 4, RFC 6891). */
import { CLASS, RCODE, TYPE } from "./codes.ts";
import { Reader, WireError } from "./reader.ts";
import { type ResourceRecord, readRecord, writeRecord } from "./record.ts";
import { OverflowError, type Writer } from "./writer.ts";

/** What is asked for. */
export interface Question {
  /** An absolute name, in the case in which it was asked. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** An EDNS option. */
export interface Option {
  readonly code: number;
  readonly data: Uint8Array;
}

/** The OPT record of a message. */
export interface Edns {
  /** The largest UDP message that the sender takes, in bytes, as it was sent (may be below 512). */
  readonly udpSize: number;
  readonly version: number;
  /** DNSSEC OK. */
  readonly do: boolean;
  readonly options: readonly Option[];
}

/** A DNS message. Flags carry the names of RFC 1035 and RFC 4035. */
export interface Message {
  readonly id: number;
  /** True for a response. */
  readonly qr: boolean;
  readonly opcode: number;
  readonly aa: boolean;
  readonly tc: boolean;
  readonly rd: boolean;
  readonly ra: boolean;
  readonly ad: boolean;
  readonly cd: boolean;
  /** 0 to 4095: above 15 only with `edns`. */
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answer: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  /** Without the OPT record, which is `edns`. */
  readonly additional: readonly ResourceRecord[];
  readonly edns: Edns | undefined;
}

/** The header of a message: the bits and the numbers of entries in the sections. */
export interface Header {
  readonly id: number;
  readonly bits: number;
  readonly counts: readonly [number, number, number, number];
}

/** The bits of the header's second word. */
export const FLAG = { QR: 0x8000, AA: 0x400, TC: 0x200, RD: 0x100, RA: 0x80, AD: 0x20, CD: 0x10 } as const;

/** Bytes of the header. */
export const HEADER_SIZE = 12;

const none: readonly never[] = [];

/**
 * Reads the 12 bytes of the header, which a server looks at before it reads further.
 *
 * @throws {WireError} if there are fewer.
 */
export function readHeader(reader: Reader): Header {
  const id = reader.u16();
  const bits = reader.u16();
  return { id, bits, counts: [reader.u16(), reader.u16(), reader.u16(), reader.u16()] };
}

/**
 * Decodes a message.
 *
 * @throws {WireError} if it is not well formed: cut short, with two OPT records, with bytes left over, ...
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new Reader(bytes);
  return decodeBody(reader, readHeader(reader));
}

/**
 * Decodes what follows the header.
 *
 * @throws {WireError} as {@link decodeMessage}.
 */
export function decodeBody(reader: Reader, { id, bits, counts }: Header): Message {
  const questions: Question[] = [];
  for (let i = 0; i < counts[0]; i++) {
    questions.push({ name: reader.domain(), type: reader.u16(), class: reader.u16() });
  }
  const answer = readSection(reader, counts[1]);
  const authority = readSection(reader, counts[2]);
  let additional: ResourceRecord[] | readonly never[] = none;
  let edns: Edns | undefined;
  let rcode = bits & 15;
  for (let i = 0; i < counts[3]; i++) {
    const start = reader.at;
    const name = reader.domain();
    if (reader.u16() !== TYPE.OPT) {
      reader.at = start;
      const record = readRecord(reader);
      if (additional === none) additional = [record];
      else (additional as ResourceRecord[]).push(record);
      continue;
    }
    if (edns !== undefined || name !== ".") throw new WireError("a message has a second or named OPT record");
    const udpSize = reader.u16();
    const word = reader.u32();
    rcode |= (word >>> 24) << 4;
    edns = { udpSize, version: (word >>> 16) & 255, do: (word & 0x8000) !== 0, options: readOptions(reader) };
  }
  if (reader.left > 0) throw new WireError("bytes follow the message");
  return {
    id,
    qr: (bits & FLAG.QR) !== 0,
    opcode: (bits >> 11) & 15,
    aa: (bits & FLAG.AA) !== 0,
    tc: (bits & FLAG.TC) !== 0,
    rd: (bits & FLAG.RD) !== 0,
    ra: (bits & FLAG.RA) !== 0,
    ad: (bits & FLAG.AD) !== 0,
    cd: (bits & FLAG.CD) !== 0,
    rcode,
    questions,
    answer,
    authority,
    additional,
    edns,
  };
}

/**
 * Encodes a message into at most `limit` bytes. Records that do not fit are left out, from the first one that does not
 * fit to the last, and TC is set.
 *
 * @returns a view into the writer, valid until its next message.
 * @throws {OverflowError} if not even the question and the OPT record fit.
 */
export function encodeMessage(writer: Writer, message: Message, limit = 65535): Buffer {
  writer.begin(limit);
  const { rcode, edns } = message;
  if (rcode > 15 && edns === undefined) throw new RangeError(`response code ${rcode} needs EDNS`);
  let bits = ((message.opcode & 15) << 11) | (rcode & 15);
  if (message.qr) bits |= FLAG.QR;
  if (message.aa) bits |= FLAG.AA;
  if (message.tc) bits |= FLAG.TC;
  if (message.rd) bits |= FLAG.RD;
  if (message.ra) bits |= FLAG.RA;
  if (message.ad) bits |= FLAG.AD;
  if (message.cd) bits |= FLAG.CD;
  writer.u16(message.id);
  writer.u16(bits);
  writer.u16(message.questions.length);
  for (let i = 0; i < 3; i++) writer.u16(0);
  for (const question of message.questions) {
    writer.domain(question.name);
    writer.u16(question.type);
    writer.u16(question.class);
  }
  writer.limit(limit - optSize(edns));
  let whole = true;
  let written = 0;
  let countAt = 6;
  for (const section of [message.answer, message.authority, message.additional]) {
    written = whole ? writeSection(writer, section) : 0;
    whole &&= written === section.length;
    writer.patch16(countAt, written);
    countAt += 2;
  }
  if (!whole) writer.patch16(2, bits | FLAG.TC);
  writer.limit(limit);
  if (edns !== undefined) {
    writeOpt(writer, edns, rcode);
    writer.patch16(10, written + 1);
  }
  return writer.message();
}

/** Encodes a message as {@link encodeMessage} does, into bytes of its own. */
export function encodeCopy(writer: Writer, message: Message, limit = 65535): Buffer {
  return Buffer.from(encodeMessage(writer, message, limit));
}

/** A query with one question, recursion desired. */
export function makeQuery(id: number, name: string, type: number, edns?: Edns): Message {
  return {
    id,
    qr: false,
    opcode: 0,
    aa: false,
    tc: false,
    rd: true,
    ra: false,
    ad: false,
    cd: false,
    rcode: RCODE.NOERROR,
    questions: [{ name, type, class: CLASS.IN }],
    answer: none,
    authority: none,
    additional: none,
    edns,
  };
}

function readSection(reader: Reader, count: number): readonly ResourceRecord[] {
  if (count === 0) return none;
  const records: ResourceRecord[] = [];
  for (let i = 0; i < count; i++) records.push(readRecord(reader));
  return records;
}

function readOptions(reader: Reader): readonly Option[] {
  const length = reader.u16();
  if (length === 0) return none;
  if (length > reader.left) throw new WireError("the options of the OPT record run past the end");
  const end = reader.at + length;
  const options: Option[] = [];
  while (reader.at < end) {
    const code = reader.u16();
    const size = reader.u16();
    if (reader.at + size > end) throw new WireError("an EDNS option runs past the end");
    options.push({ code, data: reader.take(size) });
  }
  return options;
}

/** Writes as many records as fit; returns how many those are. */
function writeSection(writer: Writer, records: readonly ResourceRecord[]): number {
  let count = 0;
  for (const record of records) {
    const start = writer.at;
    try {
      writeRecord(writer, record);
    } catch (error) {
      if (!(error instanceof OverflowError)) throw error;
      writer.rewind(start);
      break;
    }
    count++;
  }
  return count;
}

function optSize(edns: Edns | undefined): number {
  if (edns === undefined) return 0;
  let size = 11;
  for (const option of edns.options) size += 4 + option.data.length;
  return size;
}

function writeOpt(writer: Writer, edns: Edns, rcode: number): void {
  writer.u8(0);
  writer.u16(TYPE.OPT);
  writer.u16(edns.udpSize);
  writer.u8(rcode >> 4);
  writer.u8(edns.version);
  writer.u16(edns.do ? 0x8000 : 0);
  writer.u16(optSize(edns) - 11);
  for (const { code, data } of edns.options) {
    writer.u16(code);
    writer.u16(data.length);
    writer.bytes(data);
  }
}

/** Zone files: records in presentation format, with `$ORIGIN`, `$TTL`, `$INCLUDE` and `$GENERATE`. */
import { dirname, isAbsolute, join } from "node:path";
import { CLASS } from "../wire/codes.ts";
import { tryParseTtl } from "../wire/fields.ts";
import { parseRest } from "../wire/parse.ts";
import { is, type ResourceRecord } from "../wire/record.ts";
import { TextError, type Word, Words } from "../wire/text.ts";
import { type Entry, entriesOf, ZoneFileError } from "./entries.ts";
import { generate } from "./generate.ts";

/** How a zone file is read. */
export interface ZoneFileOptions {
  /** Its path, for errors and for relative includes. */
  readonly file: string;
  /** What relative names are relative to at its beginning: an absolute name. */
  readonly origin: string;
  /** Reads included files; without it `$INCLUDE` is an error. */
  readonly readFile?: (path: string) => string;
  /** Records that it may have, those of `$GENERATE` and included files too. */
  readonly maxRecords?: number;
}

const defaults = { maxRecords: 2_000_000, ttl: 3600 };
const maxIncludes = 8;

/** What carries over from entry to entry. */
interface State {
  origin: string;
  /** Seconds, from `$TTL`. */
  defaultTtl: number | undefined;
  /** Seconds, of the record before. */
  lastTtl: number | undefined;
  owner: string | undefined;
  records: number;
}

/**
 * The records of a zone file, in their order.
 *
 * @throws {ZoneFileError} with file and line, at the first thing that is wrong.
 */
export function* parseZoneFile(text: string, options: ZoneFileOptions): Generator<ResourceRecord> {
  const state: State = {
    origin: options.origin,
    defaultTtl: undefined,
    lastTtl: undefined,
    owner: undefined,
    records: 0,
  };
  yield* parseText(text, options.file, options, state, 0);
}

function* parseText(
  text: string,
  file: string,
  options: ZoneFileOptions,
  state: State,
  depth: number,
): Generator<ResourceRecord> {
  for (const entry of entriesOf(text, file)) {
    try {
      const [first] = entry.words;
      const directive = !entry.indented && !first?.quoted && first?.text.startsWith("$") ? first.text : "";
      if (directive === "") yield count(readRecord(entry, state), options, state);
      else yield* readDirective(directive.toUpperCase(), entry, file, options, state, depth);
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      throw new ZoneFileError(file, entry.line, error.message);
    }
  }
}

function readRecord({ words: all, indented }: Entry, state: State): ResourceRecord {
  const words = new Words(all, state.origin);
  if (!indented) state.owner = words.name("owner");
  if (state.owner === undefined) throw new TextError("the first record has no owner");
  const ttl = state.defaultTtl ?? state.lastTtl;
  const record = parseRest(words, state.owner, CLASS.IN, ttl ?? -1);
  const known = record.ttl >= 0 ? record : { ...record, ttl: is(record, "SOA") ? record.data.minimum : defaults.ttl };
  state.lastTtl = known.ttl;
  return known;
}

function* readDirective(
  directive: string,
  entry: Entry,
  file: string,
  options: ZoneFileOptions,
  state: State,
  depth: number,
): Generator<ResourceRecord> {
  const words = new Words(entry.words.slice(1), state.origin);
  switch (directive) {
    case "$ORIGIN":
      state.origin = words.name("origin").toLowerCase();
      break;
    case "$TTL": {
      const { text } = words.next("the TTL");
      state.defaultTtl = tryParseTtl(text);
      if (state.defaultTtl === undefined) throw new TextError(`$TTL is ${JSON.stringify(text)}, must be seconds`);
      break;
    }
    case "$INCLUDE":
      yield* include(words, file, options, state, depth);
      break;
    case "$GENERATE":
      for (const generated of generate(words)) {
        yield count(readRecord({ words: generated, indented: false, line: entry.line }, state), options, state);
      }
      break;
    default:
      throw new TextError(`directive ${directive} is unknown`);
  }
  const left = words.peek();
  if (left !== undefined) throw new TextError(`${directive} has the superfluous word ${JSON.stringify(left.text)}`);
}

/** `$INCLUDE FILE [ORIGIN]`: the origin counts within the file only (RFC 1035 5.1). */
function* include(
  words: Words,
  file: string,
  options: ZoneFileOptions,
  state: State,
  depth: number,
): Generator<ResourceRecord> {
  const { text: name }: Word = words.next("the file");
  const origin = words.done ? state.origin : words.name("origin").toLowerCase();
  if (options.readFile === undefined) throw new TextError("$INCLUDE is not allowed here");
  if (depth >= maxIncludes) throw new TextError(`files are included more than ${maxIncludes} deep`);
  const path = isAbsolute(name) ? name : join(dirname(file), name);
  let text: string;
  try {
    text = options.readFile(path);
  } catch (error) {
    throw new TextError(`$INCLUDE: ${error instanceof Error ? error.message : String(error)}`);
  }
  const inner: State = { ...state, origin };
  yield* parseText(text, path, options, inner, depth + 1);
  state.records = inner.records;
}

function count(record: ResourceRecord, options: ZoneFileOptions, state: State): ResourceRecord {
  const { maxRecords = defaults.maxRecords } = options;
  if (++state.records > maxRecords) throw new TextError(`there are more than ${maxRecords} records`);
  return record;
}

/** Records from presentation format. */
import { CLASS, tryParseClass, tryParseType, typeName } from "./codes.ts";
import { fromHex, tryParseTtl } from "./fields.ts";
import { fieldsOf } from "./layouts.ts";
import { Reader, WireError } from "./reader.ts";
import { type ResourceRecord, readData } from "./record.ts";
import { splitWords, TextError, Words } from "./text.ts";

/**
 * Parses the data of a record: the fields of its type, or `\# length hex` for any type (RFC 3597 5).
 *
 * @throws {TextError} if it is not what the type demands, or if words are left over.
 */
export function parseData(words: Words, type: number): ResourceRecord["data"] {
  const first = words.peek();
  const fields = fieldsOf.get(type);
  if (first?.text === "\\#" && !first.quoted) return parseUnknown(words, type);
  if (fields === undefined) throw new TextError(`data of type ${typeName(type)} must be written like \\# 2 ABCD`);
  const data: Record<string, unknown> = {};
  for (const [key, field] of fields) data[key] = field.parse(words, `${typeName(type)} ${key}`);
  const left = words.peek();
  if (left !== undefined)
    throw new TextError(`${typeName(type)} has the superfluous word ${JSON.stringify(left.text)}`);
  return data as ResourceRecord["data"];
}

/**
 * Parses a record that stands alone: name, then TTL and class in any order (both may be missing), type, data.
 *
 * @param defaultTtl seconds for a record without a TTL.
 * @throws {TextError} if it is not a record.
 */
export function parseRecord(line: string, defaultTtl = 3600, origin = "."): ResourceRecord {
  const words = new Words(splitWords(line), origin);
  const name = words.name("name");
  return parseRest(words, name, CLASS.IN, defaultTtl);
}

/**
 * Parses what follows the name of a record: TTL and class in any order, type, data.
 *
 * @throws {TextError} if it is not the rest of a record.
 */
export function parseRest(words: Words, name: string, defaultClass: number, defaultTtl: number): ResourceRecord {
  let ttl: number | undefined;
  let cls: number | undefined;
  for (;;) {
    const { text } = words.next("type");
    const seconds = ttl === undefined && /^[0-9]/.test(text) ? tryParseTtl(text) : undefined;
    const named = cls === undefined ? tryParseClass(text) : undefined;
    const type = tryParseType(text);
    if (seconds !== undefined) ttl = seconds;
    else if (named !== undefined && type === undefined) cls = named;
    else if (type !== undefined) {
      return { name, type, class: cls ?? defaultClass, ttl: ttl ?? defaultTtl, data: parseData(words, type) };
    } else throw new TextError(`${JSON.stringify(text)} is not a TTL, class or record type`);
  }
}

function parseUnknown(words: Words, type: number): ResourceRecord["data"] {
  words.next("\\#");
  const length = words.number("length", 65535);
  const bytes = fromHex(
    words
      .rest()
      .map((word) => word.text)
      .join(""),
    "data",
  );
  if (bytes.length !== length) throw new TextError(`data has ${bytes.length} bytes, but ${length} are announced`);
  try {
    return readData(new Reader(bytes), type, bytes.length);
  } catch (error) {
    if (error instanceof WireError) throw new TextError(error.message);
    throw error;
  }
}

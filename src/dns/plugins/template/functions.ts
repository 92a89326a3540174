/** Values of templates and the functions that they may call, as Go's text/template has them. */

/** The functions, by name. */
export const functions: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  index: (value, ...keys) => keys.reduce<unknown>((inner, key) => memberOf(inner, key), value),
  len: (value) => (typeof value === "string" || Array.isArray(value) ? value.length : 0),
  print: (...args) => args.map(show).join(""),
  println: (...args) => `${args.map(show).join(" ")}\n`,
  slice: (value, from, to) => sliceOf(value, from, to),
  urlquery: (...args) => encodeURIComponent(args.map(show).join("")).replaceAll("%20", "+"),
  printf: (format, ...args) => printf(String(format), args),
  eq: (first, ...others) => others.some((other) => first === other),
  ne: (first, second) => first !== second,
  lt: (first, second) => Number(first) < Number(second),
  le: (first, second) => Number(first) <= Number(second),
  gt: (first, second) => Number(first) > Number(second),
  ge: (first, second) => Number(first) >= Number(second),
  not: (value) => !truth(value),
  and: (...args) => args.find((arg) => !truth(arg)) ?? args.at(-1),
  or: (...args) => args.find(truth) ?? args.at(-1),
  parseInt: parseInteger,
};

/** A field of an object, or an element of a list; undefined where there is none. */
export function memberOf(value: unknown, key: unknown): unknown {
  if (Array.isArray(value) && typeof key === "number") return value[key];
  if (typeof value === "object" && value !== null && Object.hasOwn(value, String(key))) {
    return (value as Readonly<Record<string, unknown>>)[String(key)];
  }
  return undefined;
}

/** Part of a text or list; an error for offsets that it does not have. */
function sliceOf(value: unknown, from: unknown = 0, to?: unknown): unknown {
  if (typeof value !== "string" && !Array.isArray(value)) throw new TypeError("slice is for texts and lists");
  const [start, end] = [Number(from), to === undefined ? value.length : Number(to)];
  if (!(start >= 0 && start <= end && end <= value.length))
    throw new TypeError(`slice: no part from ${start} to ${end}`);
  return value.slice(start, end);
}

/** What `if` takes for true. */
export function truth(value: unknown): boolean {
  return (
    value !== undefined &&
    value !== false &&
    value !== 0 &&
    value !== "" &&
    !(Array.isArray(value) && value.length === 0)
  );
}

/** A value as it is written. */
export function show(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  throw new TypeError("a value that is not text, number or boolean cannot be written");
}

/** `parseInt TEXT BASE BITS`, as Go's strconv.ParseUint: an error for what is not a number of so many bits. */
function parseInteger(text: unknown, base: unknown = 10, bits: unknown = 64): number {
  const value = Number.parseInt(String(text), Number(base));
  if (!/^[0-9a-zA-Z]+$/.test(String(text)) || Number.isNaN(value) || value >= 2 ** Math.min(53, Number(bits) || 53)) {
    throw new TypeError(`parseInt: ${String(text)} is not a number of ${bits} bits`);
  }
  return value;
}

function printf(format: string, args: readonly unknown[]): string {
  let index = 0;
  return format.replace(/%(0?)(\d*)([sdvxXq%])/g, (_, zero: string, width: string, verb: string) => {
    if (verb === "%") return "%";
    const value = args[index++];
    let text = show(value);
    if (verb === "x" || verb === "X") text = Number(value).toString(16);
    if (verb === "X") text = text.toUpperCase();
    if (verb === "q") text = JSON.stringify(text);
    return text.padStart(Math.min(Number(width), 255), zero === "0" ? "0" : " ");
  });
}

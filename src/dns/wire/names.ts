/**
 * Domain names as text.
 *
 * A name is absolute and in presentation format (RFC 1035 5.1): labels from left to right, each followed by a dot, `.`
 * for the root. Dots, backslashes and other special characters inside a label are escaped with a backslash, bytes
 * that are not printable ASCII as `\DDD`. The case of letters is kept; names are compared in lower case.
 */

/** The longest name in wire format, in bytes, the root label included (RFC 1035 2.3.4). */
export const MAX_NAME = 255;

/** The longest label, in bytes (RFC 1035 2.3.4). */
export const MAX_LABEL = 63;

/** Characters that are escaped with a backslash in a label. */
const special = new Set([...".\"();@\\' "].map((character) => character.charCodeAt(0)));
/** What a name without anything to escape consists of. */
const plainName = /^[!#-&*-:<-?A-[\]-~]+$/;

/** Per byte, how it is written in a label; itself for the bytes of ordinary names. */
const labelText: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  if (special.has(byte)) return `\\${String.fromCharCode(byte)}`;
  if (byte > 32 && byte < 127) return String.fromCharCode(byte);
  return `\\${String(byte).padStart(3, "0")}`;
});

/** How a byte is written inside a label in presentation format. */
export function labelByte(byte: number): string {
  return labelText[byte] ?? "";
}

/** True for the bytes that stand for themselves in a label. */
export const plainLabelByte: Uint8Array = Uint8Array.from(labelText, (text) => (text.length === 1 ? 1 : 0));

/**
 * Makes an absolute name of what a person wrote: adds the final dot, checks label and name lengths and escapes.
 *
 * @param origin what a relative name is relative to; the root unless given. `@` alone means the origin.
 * @returns the name, or undefined if `text` is not one.
 */
export function tryParseName(text: string, origin = "."): string | undefined {
  if (text === "@") return origin;
  if (text === ".") return ".";
  if (text === "") return undefined;
  const absolute = endsWithDot(text);
  const name = absolute ? text : origin === "." ? `${text}.` : `${text}.${origin}`;
  if (wireLength(name) === undefined) return undefined;
  if (plainName.test(name)) return name;
  return `${labelsOf(name)
    .map((label) => escapeLabel(unescapeLabel(label)))
    .join(".")}.`;
}

/**
 * Makes an absolute name as {@link tryParseName} does.
 *
 * @throws {TypeError} if `text` is not a name.
 */
export function parseName(text: string, origin = "."): string {
  const name = tryParseName(text, origin);
  if (name === undefined) throw new TypeError(`${JSON.stringify(text)} is not a domain name`);
  return name;
}

/** The length of an absolute name in wire format, in bytes; undefined if a label is empty or too long, or the name is. */
export function wireLength(name: string): number | undefined {
  if (name === ".") return 1;
  let total = 1;
  let label = 0;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 46) {
      if (label === 0 || label > MAX_LABEL) return undefined;
      total += label + 1;
      label = 0;
      continue;
    }
    if (code > 255) return undefined;
    if (code === 92) {
      const length = escapeLength(name, i);
      if (length === 0) return undefined;
      i += length - 1;
    }
    label++;
  }
  return label !== 0 || total > MAX_NAME || total === 1 ? undefined : total;
}

/** The length of the escape that starts with the backslash at `at`: 4 for `\DDD`, 2 for `\X`, 0 if it is neither. */
export function escapeLength(text: string, at: number): 0 | 2 | 4 {
  const next = text.charCodeAt(at + 1);
  if (Number.isNaN(next)) return 0;
  if (next < 48 || next > 57) return 2;
  const digits = text.slice(at + 1, at + 4);
  return /^[0-9]{3}$/.test(digits) && Number(digits) <= 255 ? 4 : 0;
}

/** The labels of a name from left to right, still escaped; none for the root. */
export function labelsOf(name: string): string[] {
  if (name === "." || name === "") return [];
  if (!name.includes("\\")) return (name.endsWith(".") ? name.slice(0, -1) : name).split(".");
  const labels: string[] = [];
  let start = 0;
  for (let at = nextLabel(name, 0); start < name.length; at = nextLabel(name, start)) {
    labels.push(name.slice(start, endsWithDot(name.slice(start, at)) ? at - 1 : at));
    start = at;
  }
  return labels;
}

/** The number of labels of a name; 0 for the root. */
export function countLabels(name: string): number {
  if (name === ".") return 0;
  let count = 0;
  for (let at = 0; at < name.length; at = nextLabel(name, at)) count++;
  return count;
}

/** Where the label after the one at `start` begins: past the next unescaped dot, or the length of the name. */
export function nextLabel(name: string, start: number): number {
  for (let i = start; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 46) return i + 1;
    if (code === 92) i += escapeLength(name, i) === 4 ? 3 : 1;
  }
  return name.length;
}

/** The name without its first label; the root for the root and for names of one label. */
export function parentOf(name: string): string {
  return name.slice(nextLabel(name, 0)) || ".";
}

/** The name and all names above it up to the root, the longest first. */
export function* suffixesOf(name: string): Generator<string> {
  for (let start = 0; start < name.length && name !== "."; start = nextLabel(name, start)) yield name.slice(start);
  yield ".";
}

/** True if `name` is `zone` or lies below it. Both must be in the same case. */
export function isWithin(name: string, zone: string): boolean {
  if (zone === ".") return true;
  if (!name.endsWith(zone)) return false;
  const at = name.length - zone.length;
  if (at === 0) return true;
  return name.charCodeAt(at - 1) === 46 && !isEscaped(name, at - 1);
}

/** The longest of `zones` that `name` lies in; undefined if it lies in none. All must be in lower case. */
export function longestZone(zones: readonly string[], name: string): string | undefined {
  let best: string | undefined;
  for (const zone of zones) {
    if (isWithin(name, zone) && (best === undefined || zone.length > best.length)) best = zone;
  }
  return best;
}

/** Orders names as DNSSEC does (RFC 4034 6.1): by label from the right, in lower case, as bytes. */
export function compareNames(a: string, b: string): number {
  const left = labelsOf(a.toLowerCase()).reverse();
  const right = labelsOf(b.toLowerCase()).reverse();
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const x = unescapeLabel(left[i] ?? "");
    const y = unescapeLabel(right[i] ?? "");
    if (x !== y) return x < y ? -1 : 1;
  }
  return left.length - right.length;
}

/** The bytes of an escaped label as a string with one character for each byte. */
export function unescapeLabel(label: string): string {
  if (!label.includes("\\")) return label;
  let bytes = "";
  for (let i = 0; i < label.length; i++) {
    if (label.charCodeAt(i) !== 92) {
      bytes += label[i];
    } else if (escapeLength(label, i) === 4) {
      bytes += String.fromCharCode(Number(label.slice(i + 1, i + 4)));
      i += 3;
    } else {
      bytes += label[++i] ?? "";
    }
  }
  return bytes;
}

/** A label in presentation format, made of a string with one character for each byte. */
export function escapeLabel(bytes: string): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += labelByte(bytes.charCodeAt(i));
  return text;
}

function endsWithDot(text: string): boolean {
  return text.endsWith(".") && !isEscaped(text, text.length - 1);
}

/** True if the character at `at` follows an odd number of backslashes. */
function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === 92) backslashes++;
  return backslashes % 2 === 1;
}

/** Reading the fields of raw API objects strictly: whatever is not as the API defines it becomes a problem. */
import { type Address, isLinkLocal, isLoopback, isUnspecified, tryParseAddress } from "../../net/address.ts";
import { type Prefix, tryParsePrefix } from "../../net/prefix.ts";
import { type Protocol, protocols } from "../../net/protocol.ts";
import type { Projected } from "./resource.ts";

/** The fields of an object of unknown content. */
export type Fields = Readonly<Record<string, unknown>>;

/** Problems kept for one object: an object of garbage must not make a log line of megabytes. */
const maximumProblems = 10;
/** Characters of an offending value that a problem quotes. */
const maximumQuote = 80;

/** No fields: what a missing or malformed object has. */
export const noFields: Fields = Object.freeze({});

/** True for an object with fields: not null, no array. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The problems of one object, collected while it is read. Every reading method reports what is wrong under the field's
 * path and returns a harmless stand-in, so that one pass finds all problems; {@link result} then refuses the object.
 * A field that is absent or null is missing, which the method `required` alone complains about.
 */
export class Problems {
  readonly #found: string[] = [];

  /** Notes that the value of a field is not allowed. */
  invalid(path: string, value: unknown, reason: string): void {
    this.#add(`${path}: Invalid value: ${quote(value)}: ${reason}`);
  }

  /** Notes that a field is missing. */
  required(path: string, reason: string): void {
    this.#add(`${path}: Required value: ${reason}`);
  }

  /** The object made, unless there were problems. */
  result<T>(object: () => T): Projected<T> {
    return this.#found.length > 0
      ? { outcome: "invalid", problems: this.#found }
      : { outcome: "object", object: object() };
  }

  /** An object. Missing: no fields. */
  fields(path: string, value: unknown): Fields {
    if (value === undefined || value === null) return noFields;
    if (isFields(value)) return value;
    this.invalid(path, value, "must be an object");
    return noFields;
  }

  /** A list. Missing: empty. */
  list(path: string, value: unknown): readonly unknown[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.invalid(path, value, "must be a list");
    return [];
  }

  /** A string of at most 253 characters. Missing: empty. */
  text(path: string, value: unknown): string {
    if (value === undefined || value === null) return "";
    if (typeof value === "string" && value.length <= 253) return value;
    this.invalid(path, value, "must be a string of at most 253 characters");
    return "";
  }

  /** True or false. Missing: `otherwise`. */
  flag(path: string, value: unknown, otherwise: boolean): boolean {
    if (value === undefined || value === null) return otherwise;
    if (typeof value === "boolean") return value;
    this.invalid(path, value, "must be true or false");
    return otherwise;
  }

  /** A whole number from `least` to `most`. Missing: `otherwise`. */
  integer(path: string, value: unknown, least: number, most: number, otherwise: number): number {
    if (value === undefined || value === null) return otherwise;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    this.invalid(path, value, `must be ${least} to ${most}`);
    return otherwise;
  }

  /** One of a few words. Missing or empty: `otherwise`. */
  oneOf<Word extends string>(path: string, value: unknown, words: readonly Word[], otherwise: Word): Word {
    if (value === undefined || value === null || value === "") return otherwise;
    const word = words.find((candidate) => candidate === value);
    if (word !== undefined) return word;
    this.#add(`${path}: Unsupported value: ${quote(value)}: supported values: ${words.map(quote).join(", ")}`);
    return otherwise;
  }

  /** A protocol. Missing: TCP. */
  protocol(path: string, value: unknown): Protocol {
    return this.oneOf(path, value, protocols, "TCP");
  }

  /** An address. Undefined, with a problem, where there is none. */
  address(path: string, value: unknown): Address | undefined {
    const address = typeof value === "string" ? tryParseAddress(value) : undefined;
    if (address === undefined) this.invalid(path, value, "must be an IPv4 or IPv6 address");
    return address;
  }

  /** An address that packets can be sent to from another machine. Undefined, with a problem, where there is none. */
  reachableAddress(path: string, value: unknown): Address | undefined {
    const address = this.address(path, value);
    if (address === undefined || !(isUnspecified(address) || isLoopback(address) || isLinkLocal(address)))
      return address;
    this.invalid(path, value, "must not be an unspecified, loopback or link-local address");
    return undefined;
  }

  /** A prefix. Undefined, with a problem, where there is none. */
  prefix(path: string, value: unknown): Prefix | undefined {
    const prefix = typeof value === "string" ? tryParsePrefix(value.trim()) : undefined;
    if (prefix === undefined) this.invalid(path, value, "must be a prefix like 10.0.0.0/8 or fd00::/8");
    return prefix;
  }

  /** The items of a list, read one by one; those that the reader has no value for are left out. */
  each<T>(path: string, value: unknown, read: (path: string, item: unknown) => T | undefined): T[] {
    const read1 = (item: unknown, i: number) => read(`${path}[${i}]`, item);
    return this.list(path, value)
      .map(read1)
      .filter((item) => item !== undefined);
  }

  /**
   * A name made of lower-case letters, digits and hyphens, that starts and ends with a letter or digit (RFC 1123): a
   * label of at most 63 characters, or a subdomain of at most 253 whose labels are joined by dots. Missing: empty,
   * with a problem.
   */
  name(path: string, value: unknown, form: "label" | "subdomain"): string {
    if (value === undefined || value === null || value === "") {
      this.required(path, `a DNS ${form}`);
      return "";
    }
    if (typeof value === "string" && (form === "label" ? isLabel(value) : isSubdomain(value))) return value;
    this.invalid(path, value, `must be a DNS ${form}: lower-case letters, digits and "-"`);
    return "";
  }

  #add(problem: string): void {
    if (this.#found.length < maximumProblems) this.#found.push(problem);
  }
}

function isLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

function isSubdomain(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
}

/** A value as a problem shows it: JSON, cut. */
function quote(value: unknown): string {
  const shown = typeof value === "string" ? value.slice(0, maximumQuote + 1) : value;
  const text =
    typeof shown === "object" && shown !== null ? (Array.isArray(shown) ? "[...]" : "{...}") : stringify(shown);
  return text.length > maximumQuote ? `${text.slice(0, maximumQuote)}...` : text;
}

function stringify(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

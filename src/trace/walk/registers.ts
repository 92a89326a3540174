/** The registers of nf_tables with what is known of each bit, and what each holds in words. */
import type { Register } from "../../kernel/nftables/index.ts";
import { firstRegister, padded } from "../../kernel/nftables/index.ts";
import type { Bytes } from "./packet.ts";

const size = 64;

/** 64 bytes, written by expressions that load and read by those that compare. */
export class Registers {
  readonly #data: Uint8Array;
  readonly #known: Uint8Array;
  readonly #names: Map<Register, string>;

  constructor(from?: Registers) {
    this.#data = from === undefined ? new Uint8Array(size) : from.#data.slice();
    this.#known = from === undefined ? new Uint8Array(size) : from.#known.slice();
    this.#names = new Map(from === undefined ? [] : from.#names);
  }

  /** A copy, for a branch of its own. */
  copy(): Registers {
    return new Registers(this);
  }

  /** Puts a value at a register, filled with zeros to whole words. What would go beyond the last is left out. */
  put(at: Register, { data, known }: Bytes, name?: string): void {
    const start = 4 * (at - firstRegister);
    const room = Math.max(0, Math.min(data.length, size - start));
    const end = Math.min(size, start + padded(room));
    this.#data.fill(0, start, end).set(data.subarray(0, room), start);
    this.#known.fill(255, start, end).set(known.subarray(0, room), start);
    if (name !== undefined) this.#names.set(at, name);
  }

  /** The value of so many bytes at a register. */
  get(at: Register, length: number): Bytes {
    const start = 4 * (at - firstRegister);
    return { data: this.#data.slice(start, start + length), known: this.#known.slice(start, start + length) };
  }

  /** What the value at a register is. */
  name(at: Register): string {
    return this.#names.get(at) ?? "a value";
  }

  /** What the values at the registers of so many bytes are, those that are not known. */
  unknownNames(at: Register, length: number): string {
    const names: string[] = [];
    for (let word = at; word < at + Math.ceil(length / 4); word++) {
      const name = this.#names.get(word);
      if (name !== undefined && !isKnown(this.get(word, 4))) names.push(name);
    }
    return names.join(" and ") || this.name(at);
  }
}

/** True if every bit is known. */
export function isKnown({ known }: Bytes): boolean {
  return known.every((byte) => byte === 255);
}

/** Whether two byte strings are equal; undefined if that depends on what is not known. */
export function equals(value: Bytes, data: Uint8Array): boolean | undefined {
  let certain = true;
  for (let i = 0; i < data.length; i++) {
    const known = value.known[i] ?? 255;
    if ((((value.data[i] ?? 0) ^ (data[i] ?? 0)) & known) !== 0) return false;
    if (known !== 255) certain = false;
  }
  return certain ? true : undefined;
}

/** Below 0, 0 or above 0 as the value is smaller, equal or larger; undefined if it depends on what is not known. */
export function compareKnown(value: Bytes, data: Uint8Array): number | undefined {
  for (let i = 0; i < data.length; i++) {
    if ((value.known[i] ?? 255) !== 255) return undefined;
    const difference = (value.data[i] ?? 0) - (data[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

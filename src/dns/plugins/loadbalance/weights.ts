/** The file of weights: a name on a line, then lines of an address and its weight. */
import { type Address, tryParseAddress } from "../../../net/address.ts";
import { tryParseName } from "../../wire/names.ts";

/** Weights of addresses by name in lower case. */
export type Weights = ReadonlyMap<string, ReadonlyMap<Address, number>>;

/**
 * Parses a file of weights. `#` begins a comment.
 *
 * @throws {TypeError} with file and line.
 */
export function parseWeights(text: string, file: string): Weights {
  const weights = new Map<string, Map<Address, number>>();
  let current: Map<Address, number> | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const words = line.replace(/#.*/, "").trim().split(/\s+/).filter(Boolean);
    const place = `${file}:${index + 1}`;
    const [first = "", weight = ""] = words;
    if (words.length === 0) continue;
    if (words.length === 1) {
      const name = tryParseName(first);
      if (name === undefined) throw new TypeError(`${place}: '${first}' is not a domain name`);
      current = new Map();
      weights.set(name.toLowerCase(), current);
      continue;
    }
    const address = tryParseAddress(first);
    if (current === undefined || words.length > 2 || address === undefined) {
      throw new TypeError(`${place}: must be a domain name, or an address and a weight below one`);
    }
    if (!/^\d{1,3}$/.test(weight) || Number(weight) < 1 || Number(weight) > 255) {
      throw new TypeError(`${place}: weight '${weight}' must be a number from 1 to 255`);
    }
    current.set(address, Number(weight));
  }
  return weights;
}

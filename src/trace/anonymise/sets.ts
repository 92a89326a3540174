/** Sets and maps of nf_tables, with addresses and names replaced. */
import { type Element, type KeyLayout, keyParts, type NftSet, type Verdict } from "../../kernel/nftables/index.ts";
import { compareBytes } from "../../net/address.ts";
import type { Mapping } from "./mapping.ts";
import { after, type ByteRange, before, replaceRange } from "./ranges.ts";

type FullSet = NftSet & { readonly elements: readonly Element[] };

/** Replaces what an element's key and value are, apart from how they are arranged. */
export interface Renaming {
  readonly mapping: Mapping;
  /** Chains that verdicts lead to. */
  chain(name: string): string;
  /** Objects that elements name. */
  object(name: string): string;
}

/** Replaces the elements of a set. */
export function replaceElements(set: FullSet, renaming: Renaming): readonly Element[] {
  const { mapping } = renaming;
  const parts = keyParts(set.key);
  const [only] = parts;
  const single = parts.length === 1 && (only?.type === "ipv4_addr" || only?.type === "ipv6_addr");
  if (single && set.flags?.includes("interval") === true && set.elements.every(({ keyEnd }) => keyEnd === undefined)) {
    return replaceIntervals(set.elements, renaming, set);
  }
  return set.elements.flatMap((element) => {
    const rest = replaceRest(element, set, renaming);
    if (element.catchAll === true) return [rest];
    if (element.keyEnd === undefined) return [{ ...rest, key: replaceKey(element.key, set.key, mapping) }];
    return replaceBox(element.key, element.keyEnd, set.key, mapping).map(({ from, to }) => ({
      ...rest,
      key: from,
      keyEnd: to,
    }));
  });
}

/** Beginnings and ends of intervals that stand for themselves: sorted and paired, replaced, written again. */
function replaceIntervals(elements: readonly Element[], renaming: Renaming, set: FullSet): readonly Element[] {
  const catchAll = elements.filter((element) => element.catchAll === true);
  const sorted = elements
    .filter((element) => element.catchAll !== true)
    .toSorted((a, b) => compareBytes(a.key, b.key) || Number(b.intervalEnd ?? false) - Number(a.intervalEnd ?? false));
  const pieces: { readonly range: ByteRange; readonly element: Element }[] = [];
  for (const [i, element] of sorted.entries()) {
    if (element.intervalEnd === true) continue;
    const next = sorted[i + 1];
    const to = next === undefined ? element.key.map(() => 255) : before(next.key);
    const rest = replaceRest(element, set, renaming);
    for (const range of replaceRange({ from: element.key, to }, renaming.mapping))
      pieces.push({ range, element: rest });
  }
  pieces.sort((a, b) => compareBytes(a.range.from, b.range.from));
  const written = pieces.flatMap(({ range, element }, i): readonly Element[] => {
    const end = after(range.to);
    const next = pieces[i + 1];
    const begin = { ...element, key: range.from };
    const isLast = end.every((byte) => byte === 0);
    if (isLast || (next !== undefined && compareBytes(next.range.from, end) === 0)) return [begin];
    return [begin, { key: end, intervalEnd: true }];
  });
  return [...written, ...catchAll.map((element) => replaceRest(element, set, renaming))];
}

/** Ranges in several dimensions: those that do not stay ranges are taken apart, in every dimension on its own. */
function replaceBox(from: Uint8Array, to: Uint8Array, layout: KeyLayout, mapping: Mapping): readonly ByteRange[] {
  let boxes: readonly ByteRange[] = [{ from, to }];
  for (const { type, offset, length } of keyParts(layout)) {
    if (type !== "ipv4_addr" && type !== "ipv6_addr") continue;
    const end = offset + length;
    boxes = boxes.flatMap((box) =>
      replaceRange({ from: box.from.subarray(offset, end), to: box.to.subarray(offset, end) }, mapping).map(
        (range) => ({
          from: withPart(box.from, offset, range.from),
          to: withPart(box.to, offset, range.to),
        }),
      ),
    );
  }
  return boxes;
}

function withPart(bytes: Uint8Array, offset: number, part: Uint8Array): Uint8Array {
  const result = bytes.slice();
  result.set(part, offset);
  return result;
}

/** A key, or a value of a map: its parts by their types. */
export function replaceKey(key: Uint8Array, layout: KeyLayout, mapping: Mapping): Uint8Array {
  let result = key;
  for (const { type, offset, length } of keyParts(layout)) {
    const part = key.subarray(offset, offset + length);
    if (type === "ipv4_addr" || type === "ipv6_addr") result = withPart(result, offset, mapping.address(part));
    else if (type === "ether_addr") result = withPart(result, offset, mapping.mac(part));
  }
  return result;
}

function replaceRest(element: Element, { data }: FullSet, { mapping, chain, object }: Renaming): Element {
  const { comment, verdict, object: name, data: value, ...rest } = element;
  return {
    ...rest,
    ...(comment !== undefined && { comment: mapping.name("comment", comment) }),
    ...(verdict !== undefined && { verdict: replaceVerdict(verdict, chain) }),
    ...(name !== undefined && { object: object(name) }),
    ...(value !== undefined && { data: data?.kind === "value" ? replaceKey(value, data.layout, mapping) : value }),
  };
}

/** A verdict that leads to a chain of another name. */
export function replaceVerdict(verdict: Verdict, chain: (name: string) => string): Verdict {
  return verdict.kind === "jump" || verdict.kind === "goto" ? { ...verdict, chain: chain(verdict.chain) } : verdict;
}

/** Expressions of rules, with addresses and names replaced: registers say which bytes are addresses. */
import type { Expression, Register } from "../../kernel/nftables/index.ts";
import { replaceExtension } from "./extensions.ts";
import { type ByteRange, masked, replaceRange } from "./ranges.ts";
import { type Renaming, replaceVerdict } from "./sets.ts";

/** What a register holds, as far as it matters here. */
type Held =
  /** An address, or its first bytes; of which a mask has left so many bits. */
  { readonly kind: "address"; readonly size: 4 | 16; readonly bits?: number } | { readonly kind: "mac" };

/** What the replacement of rules needs. */
export interface RuleRenaming extends Renaming {
  set(name: string): string;
  /** Makes a set of ranges, for a comparison that does not stay one. @returns its name. */
  newSet(size: 4 | 16, ranges: readonly ByteRange[]): string;
  /** Takes note of what cannot be replaced so that rules mean the same. */
  unfaithful(what: string): void;
}

/** Replaces. */
export function replaceExpressions(expressions: readonly Expression[], renaming: RuleRenaming): readonly Expression[] {
  const held = new Map<Register, Held>();
  const wanted = addressRegisters(expressions);
  return expressions.map((expression, i) => replaceOne(expression, held, wanted[i], renaming));
}

function replaceOne(
  expression: Expression,
  held: Map<Register, Held>,
  size: 4 | 16 | undefined,
  renaming: RuleRenaming,
): Expression {
  const { mapping } = renaming;
  switch (expression.kind) {
    case "payload":
    case "ct": {
      hold(held, expression.dreg, loaded(expression));
      return expression;
    }
    case "rt":
      hold(
        held,
        expression.dreg,
        expression.key === "nexthop ip" ? address(4) : expression.key === "nexthop ip6" ? address(16) : undefined,
      );
      return expression;
    case "bitwise": {
      const source = held.get(expression.sreg);
      if (source?.kind !== "address") {
        hold(held, expression.dreg, source);
        return expression;
      }
      const bits = prefixBits(expression.mask);
      if (bits === undefined && touchesReplaced(expression.mask, source.size))
        renaming.unfaithful("a mask that is no prefix");
      hold(held, expression.dreg, bits === undefined ? undefined : { ...source, bits });
      return expression;
    }
    case "cmp": {
      const source = held.get(expression.sreg);
      const { data, op } = expression;
      if (source === undefined) return expression;
      if (source.kind === "mac") return { ...expression, data: data.length === 6 ? mapping.mac(data) : data };
      if (op === "eq" || op === "neq") {
        const replaced = mapping.leading(data, source.size);
        return { ...expression, data: source.bits === undefined ? replaced : masked(replaced, source.bits) };
      }
      const lowest = data.map(() => 0);
      const highest = data.map(() => 255);
      const up = op === "gt" || op === "gte";
      const inverted = op === "gt" || op === "lt";
      // Above it is not up to it, below it is not from it on.
      const range = up !== inverted ? { from: data, to: highest } : { from: lowest, to: data };
      return inSet(range, inverted, expression.sreg, source.size, renaming) ?? expression;
    }
    case "range": {
      const source = held.get(expression.sreg);
      if (source?.kind !== "address") return expression;
      const range = { from: expression.from, to: expression.to };
      return inSet(range, expression.op === "neq", expression.sreg, source.size, renaming) ?? expression;
    }
    case "immediate":
      held.delete(expression.dreg);
      return size === undefined || expression.data.length !== size
        ? expression
        : { ...expression, data: mapping.address(expression.data) };
    case "lookup":
      if (expression.dreg !== undefined) held.delete(expression.dreg);
      return { ...expression, set: renaming.set(expression.set) };
    case "dynset": {
      const { expressions } = expression;
      const inner = expressions && replaceExpressions(expressions, renaming);
      return { ...expression, set: renaming.set(expression.set), ...(inner !== undefined && { expressions: inner }) };
    }
    case "objref":
      return { ...expression, name: renaming.object(expression.name) };
    case "objref map":
      return { ...expression, set: renaming.set(expression.set) };
    case "verdict":
      return { ...expression, verdict: replaceVerdict(expression.verdict, renaming.chain) };
    case "log":
      return expression.prefix === undefined
        ? expression
        : { ...expression, prefix: mapping.name("log", expression.prefix) };
    case "match":
    case "target":
      return { ...expression, info: replaceExtension(expression, renaming) };
    case "unknown":
      renaming.unfaithful(`expression ${expression.name}`);
      return { ...expression, data: new Uint8Array() };
    default:
      if ("dreg" in expression && expression.dreg !== undefined) held.delete(expression.dreg);
      return expression;
  }
}

const address = (size: 4 | 16): Held => ({ kind: "address", size });

function hold(held: Map<Register, Held>, register: Register, what: Held | undefined): void {
  if (what === undefined) held.delete(register);
  else held.set(register, what);
}

/** What is loaded: addresses of headers and connections. */
function loaded(expression: Expression & { readonly kind: "payload" | "ct" }): Held | undefined {
  if (expression.kind === "ct") {
    if (!/^[sd]addr/.test(expression.key)) return undefined;
    return address(expression.key.endsWith("ip6") ? 16 : 4);
  }
  const { base, offset, length } = expression;
  if (base === "link") return offset + length <= 12 && offset % 6 === 0 ? { kind: "mac" } : undefined;
  if (base !== "network") return undefined;
  if (length <= 4 && (offset === 12 || offset === 16)) return address(4);
  return offset === 8 || offset === 24 ? address(16) : undefined;
}

/** The bits of a mask that is a prefix. */
function prefixBits(mask: Uint8Array): number | undefined {
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const length = bits.indexOf("0") < 0 ? bits.length : bits.indexOf("0");
  return bits.slice(length).includes("1") ? undefined : length;
}

function touchesReplaced(mask: Uint8Array, size: 4 | 16): boolean {
  const [from, to] = size === 4 ? [1, 3] : [2, 8];
  return mask.subarray(from, to).some((byte) => byte !== 0);
}

/** A comparison with a range as a look-up, since what was one range may be several. */
function inSet(
  { from, to }: ByteRange,
  inverted: boolean,
  sreg: Register,
  size: 4 | 16,
  renaming: RuleRenaming,
): Expression | undefined {
  if (from.length !== size) {
    renaming.unfaithful("a range of parts of addresses");
    return undefined;
  }
  const set = renaming.newSet(size, replaceRange({ from, to }, renaming.mapping));
  return { kind: "lookup", set, sreg, ...(inverted && { inverted }) };
}

/** For each expression that puts a constant into a register, the size of the address that a later one takes from there. */
function addressRegisters(expressions: readonly Expression[]): readonly (4 | 16 | undefined)[] {
  const sizes = new Map<Register, 4 | 16>();
  return expressions
    .toReversed()
    .map((expression): 4 | 16 | undefined => {
      if (expression.kind === "nat") {
        for (const each of [expression.addressMin, expression.addressMax]) {
          if (each !== undefined) sizes.set(each, expression.family === "ip" ? 4 : 16);
        }
      }
      if (expression.kind === "tproxy" || expression.kind === "dup" || expression.kind === "fwd") {
        const size = "family" in expression && expression.family === "ip6" ? 16 : 4;
        if (expression.addressReg !== undefined) sizes.set(expression.addressReg, size);
      }
      if (expression.kind !== "immediate") return undefined;
      const size = sizes.get(expression.dreg);
      sizes.delete(expression.dreg);
      return size;
    })
    .reverse();
}

/** Expressions that compare and compute. */
import type { Expression } from "../../../kernel/nftables/index.ts";
import { compare, shift, show, swap } from "../compute.ts";
import { knownBytes, unknownBytes } from "../packet.ts";
import { compareKnown, isKnown } from "../registers.ts";
import { decide, go, type Next, type Thread } from "./thread.ts";

/** An expression that compares or computes. */
export type Computing = Extract<
  Expression,
  { kind: "cmp" | "range" | "bitwise" | "bitwise op" | "bitwise shift" | "byteorder" }
>;

/** Compares a register, or computes one. */
export function runComputing(expression: Computing, thread: Thread): readonly Next[] {
  const { registers } = thread;
  switch (expression.kind) {
    case "cmp": {
      const { sreg, op, data } = expression;
      const value = registers.get(sreg, data.length);
      return decide(
        thread,
        compare(value, op, data),
        () => `${registers.unknownNames(sreg, data.length)} ${op} ${show(data)}`,
      );
    }
    case "range": {
      const { sreg, op, from, to } = expression;
      const value = registers.get(sreg, from.length);
      const low = compareKnown(value, from);
      const high = compareKnown(value, to);
      const inside = low === undefined || high === undefined ? undefined : low >= 0 && high <= 0;
      const holds = inside === undefined ? undefined : inside === (op === "eq");
      return decide(
        thread,
        holds,
        () => `${registers.name(sreg)} ${op === "eq" ? "in" : "not in"} ${show(from)} to ${show(to)}`,
      );
    }
    case "bitwise": {
      const { sreg, dreg, length, mask, xor } = expression;
      const { data, known } = registers.get(sreg, length);
      const result = {
        data: data.map((byte, i) => (byte & (mask[i] ?? 0)) ^ (xor[i] ?? 0)),
        known: known.map((byte, i) => byte | (~(mask[i] ?? 0) & 255)),
      };
      registers.put(dreg, result, registers.name(sreg));
      return go(thread);
    }
    case "bitwise op": {
      const { sreg, dreg, length, op, sreg2 } = expression;
      const left = registers.get(sreg, length);
      const right =
        sreg2 === undefined ? knownBytes(expression.data ?? new Uint8Array(length)) : registers.get(sreg2, length);
      const operate = {
        and: (a: number, b: number) => a & b,
        or: (a: number, b: number) => a | b,
        xor: (a: number, b: number) => a ^ b,
      }[op];
      const both = isKnown(left) && isKnown(right);
      const value = both
        ? knownBytes(left.data.map((byte, i) => operate(byte, right.data[i] ?? 0)))
        : unknownBytes(length);
      registers.put(dreg, value, registers.name(sreg));
      return go(thread);
    }
    case "bitwise shift": {
      const { sreg, dreg, length } = expression;
      const value = registers.get(sreg, length);
      registers.put(
        dreg,
        isKnown(value) ? knownBytes(shift(value.data, expression.direction, expression.bits)) : unknownBytes(length),
        registers.name(sreg),
      );
      return go(thread);
    }
    case "byteorder": {
      const { sreg, dreg, length, size } = expression;
      const { data, known } = registers.get(sreg, length);
      registers.put(dreg, { data: swap(data, size), known: swap(known, size) }, registers.name(sreg));
      return go(thread);
    }
  }
}

/**
 * What `nft` stores about a key that is declared with `typeof`: the expression that loads it. It is user data, so that
 * the kernel does not look at it; without it `nft` cannot list keys with parts that have no type of their own.
 *
 * The numbers are those of nftables' `expr_types`, protocol descriptions and their fields, which are fixed because
 * they are stored. An expression is (0: type, 1: its fields); a concatenation's fields are its parts by position.
 */
import type { DataTypeName } from "./datatypes.ts";
import { metaKeys } from "./expressions/load.ts";
import { encodeUserdata, numberItem } from "./userdata.ts";

/** A part of a key, as the expression that loads it. */
export interface TypeofExpression {
  /** The part's data type. */
  readonly type: DataTypeName;
  /** Bytes. */
  readonly length: number;
  /** How the number is stored, if the type does not say it. */
  readonly byteOrder?: "host";
  /** The expression's number in `nft`. */
  readonly expression: number;
  /** The expression's fields as user data. */
  readonly fields: Uint8Array;
}

const expressionType = { verdict: 1, payload: 7, meta: 9, concat: 13, numgen: 23 } as const;

/** Header fields: the protocol's number, the field's number in it, type and length. */
const payloads = {
  "ip protocol": [12, 9, "inet_proto", 1],
  "ip saddr": [12, 11, "ipv4_addr", 4],
  "ip daddr": [12, 12, "ipv4_addr", 4],
  "ip6 saddr": [13, 8, "ipv6_addr", 16],
  "ip6 daddr": [13, 9, "ipv6_addr", 16],
  "th sport": [11, 1, "inet_service", 2],
  "th dport": [11, 2, "inet_service", 2],
} as const;

const metas = {
  "meta mark": ["mark", "mark", 4],
  "meta priority": ["priority", "classid", 4],
  "meta iifname": ["iifname", "ifname", 16],
  "meta oifname": ["oifname", "ifname", 16],
  "meta l4proto": ["l4proto", "inet_proto", 1],
} as const;

/** What can be named by {@link typeOf}. */
export type TypeofName = keyof typeof payloads | keyof typeof metas;

/** The part of a key that a header field or a fact about the packet is. */
export function typeOf(name: TypeofName): TypeofExpression {
  if (name in payloads) {
    const [protocol, field, type, length] = payloads[name as keyof typeof payloads];
    return { type, length, expression: expressionType.payload, fields: numbers(protocol, field) };
  }
  const [key, type, length] = metas[name as keyof typeof metas];
  return { type, length, expression: expressionType.meta, fields: numbers(metaKeys.indexOf(key)) };
}

/** The part of a key that a `numgen` is: a number of four bytes in host order. */
export function typeofNumgen(mode: "inc" | "random", modulus: number, offset = 0): TypeofExpression {
  const fields = numbers(mode === "random" ? 1 : 0, modulus, offset);
  return { type: "integer", length: 4, byteOrder: "host", expression: expressionType.numgen, fields };
}

/** The stored form of a key of these parts. */
export function encodeTypeof(parts: readonly TypeofExpression[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return encodeExpression(only.expression, only.fields);
  const list = parts.map(({ expression, fields }, type) => ({ type, value: encodeExpression(expression, fields) }));
  return encodeExpression(expressionType.concat, encodeUserdata(list));
}

/** What `nft` stores about the values of a verdict map whose key is declared with `typeof`. */
export const verdictTypeof = encodeExpression(expressionType.verdict, new Uint8Array());

function encodeExpression(type: number, fields: Uint8Array): Uint8Array {
  return encodeUserdata([numberItem(0, type), { type: 1, value: fields }]);
}

function numbers(...values: readonly number[]): Uint8Array {
  return encodeUserdata(values.map((value, type) => numberItem(type, value)));
}

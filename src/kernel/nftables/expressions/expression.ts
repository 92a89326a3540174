/** The expressions that rules are made of. A rule's expressions run in order; one that does not hold ends the rule. */
import type { ActExpression } from "./act.ts";
import type { CompareExpression } from "./compare.ts";
import type { LoadExpression } from "./load.ts";

/** An expression that this program does not know, or that has something about it which it does not know. */
export interface UnknownExpression {
  readonly kind: "unknown";
  /** The kernel's name for it. */
  readonly name: string;
  /** Its attributes, as they are. */
  readonly data: Uint8Array;
}

/** Any expression. Fields that have their default value are absent, written and read. */
export type Expression = LoadExpression | CompareExpression | ActExpression | UnknownExpression;

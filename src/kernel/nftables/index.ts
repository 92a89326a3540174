/** nf_tables through netlink: the rule set as values, changed in transactions, read back, watched. */
export {
  concatKey,
  type DataType,
  type DataTypeName,
  dataTypes,
  hostU32Bytes,
  interfaceNameBytes,
  type KeyPart,
  keyLayout,
  keyParts,
  padded,
  partRegisters,
  rangeElements,
  typeofLayout,
  u16Bytes,
  u32Bytes,
  valueData,
} from "./datatypes.ts";
export {
  type DumpScope,
  getElement,
  listChains,
  listElements,
  listObjects,
  listRules,
  listSets,
  listTables,
  openNftables,
  openNftablesIfThere,
  readGeneration,
} from "./dump.ts";
export type { Overrun } from "./events.ts";
export type * from "./expressions/act.ts";
export type * from "./expressions/compare.ts";
export type { Expression, UnknownExpression } from "./expressions/expression.ts";
export type * from "./expressions/load.ts";
export { ctKeys, metaKeys } from "./expressions/load.ts";
export { firstRegister, type Register, register } from "./expressions/register.ts";
export { decodeNftEvent, type NftChange, type NftEvent, watchNftables } from "./monitor.ts";
export * as rules from "./rules.ts";
export { type Ruleset, readRuleset } from "./ruleset.ts";
export { decodeTrace, TraceListener, type TraceStep, watchTraces } from "./trace.ts";
export {
  type AddMode,
  type DeleteMode,
  type RulePosition,
  type RuleRef,
  Transaction,
} from "./transaction.ts";
export { type TypeofExpression, type TypeofName, typeOf, typeofNumgen } from "./typeof.ts";
export type * from "./types.ts";
export { priorities } from "./types.ts";
export { formatVerdict } from "./verdict.ts";

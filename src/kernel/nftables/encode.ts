/** Writes nf_tables objects as the attributes of their messages. The counterpart is `decode.ts`. */
import type { NetlinkWriter } from "../netlink/writer.ts";
import { byteOrderNumber } from "./datatypes.ts";
import { toBits, writeValue, writeVerdict } from "./expressions/fields.ts";
import { expressionCodec, objectTypes } from "./expressions/table.ts";
import { baseChainFlag, chainFlags, elementFlags, hookNumber, setFlags, tableFlags, verdictType } from "./protocol.ts";
import { verdictTypeof } from "./typeof.ts";
import type { BaseChain, Chain, Element, NftObject, NftSet, Rule, Table } from "./types.ts";
import { commentItem, encodeUserdata, numberItem, type UserdataItem, userdataType } from "./userdata.ts";

/** `NFTA_TABLE_*`. */
export function encodeTable(writer: NetlinkWriter, table: Table): void {
  writer.attributeString(1, table.table);
  writer.attributeU32BE(2, toBits(tableFlags, table.flags ?? []));
  writeComment(writer, 6, userdataType.tableComment, table.comment);
}

/** `NFTA_CHAIN_*`. */
export function encodeChain(writer: NetlinkWriter, chain: Chain): void {
  writer.attributeString(1, chain.table);
  writer.attributeString(3, chain.chain);
  if (chain.base !== undefined) {
    const base = chain.base;
    const hook = writer.beginNested(4);
    writer.attributeU32BE(1, hookNumber(chain.family, base.hook));
    writer.attributeU32BE(2, base.priority);
    encodeDevices(writer, base);
    writer.endNested(hook);
    writer.attributeU32BE(5, base.policy === "drop" ? 0 : 1);
    writer.attributeString(7, base.type);
  }
  if (chain.flags !== undefined && chain.flags.length > 0) {
    writer.attributeU32BE(10, toBits(chainFlags, chain.flags) | (chain.base === undefined ? 0 : baseChainFlag));
  }
  writeComment(writer, 12, userdataType.chainComment, chain.comment);
}

function encodeDevices(writer: NetlinkWriter, { devices = [] }: BaseChain): void {
  const [only] = devices;
  if (only === undefined) return;
  if (devices.length === 1) {
    writer.attributeString(3, only);
    return;
  }
  const list = writer.beginNested(4);
  for (const device of devices) writer.attributeString(1, device);
  writer.endNested(list);
}

/** `NFTA_RULE_*`, without the position. */
export function encodeRule(writer: NetlinkWriter, rule: Rule): void {
  writer.attributeString(1, rule.table);
  writer.attributeString(2, rule.chain);
  if (rule.handle !== undefined) writer.attributeU64BE(3, rule.handle);
  expressionCodec.encodeList(writer, 4, rule.expressions);
  if (rule.compat !== undefined) {
    const compat = writer.beginNested(5);
    writer.attributeU32BE(1, rule.compat.protocol);
    writer.attributeU32BE(2, rule.compat.flags);
    writer.endNested(compat);
  }
  if (rule.userdata !== undefined) writer.attributeBytes(7, rule.userdata);
  else writeComment(writer, 7, userdataType.ruleComment, rule.comment);
}

/**
 * `NFTA_SET_*`.
 *
 * @param id names the set within its transaction.
 */
export function encodeSet(writer: NetlinkWriter, set: NftSet, id: number): void {
  writer.attributeString(1, set.table);
  writer.attributeString(2, set.set);
  writer.attributeU32BE(3, toBits(setFlags, set.flags ?? []) | impliedFlags(set));
  writer.attributeU32BE(4, set.key.type);
  writer.attributeU32BE(5, set.key.length);
  if (set.data?.kind === "value") {
    writer.attributeU32BE(6, set.data.layout.type);
    writer.attributeU32BE(7, set.data.layout.length);
  } else if (set.data?.kind === "verdict") {
    writer.attributeU32BE(6, verdictType);
    writer.attributeU32BE(7, 16);
  }
  if (set.policy === "memory") writer.attributeU32BE(8, 1);
  encodeDescription(writer, set);
  writer.attributeU32BE(10, id);
  if (set.timeout !== undefined) writer.attributeU64BE(11, set.timeout);
  if (set.gcInterval !== undefined) writer.attributeU32BE(12, set.gcInterval);
  writer.attributeBytes(13, encodeUserdata(setUserdata(set)));
  if (set.data?.kind === "object") writer.attributeU32BE(15, objectTypes[set.data.type]);
  encodeState(writer, set.expressions, 17, 18);
}

function impliedFlags(set: NftSet): number {
  let bits = 0;
  if (set.data !== undefined) bits |= set.data.kind === "object" ? setFlags.object : setFlags.map;
  if (set.timeout !== undefined) bits |= setFlags.timeout;
  if (set.expressions !== undefined && set.expressions.length > 1) bits |= setFlags.expressions;
  if (isConcatenatedInterval(set)) bits |= setFlags.concat;
  return bits;
}

/** The kernel wants to know the parts of a key only where it compares them as ranges. */
function isConcatenatedInterval(set: NftSet): boolean {
  return set.key.fields !== undefined && (set.flags?.includes("interval") ?? false);
}

function encodeDescription(writer: NetlinkWriter, set: NftSet): void {
  const fields = isConcatenatedInterval(set) ? (set.key.fields ?? []) : [];
  if (!set.size && fields.length === 0) return;
  const description = writer.beginNested(9);
  if (set.size) writer.attributeU32BE(1, set.size);
  if (fields.length > 0) {
    const list = writer.beginNested(2);
    for (const length of fields) {
      const field = writer.beginNested(1);
      writer.attributeU32BE(1, length);
      writer.endNested(field);
    }
    writer.endNested(list);
  }
  writer.endNested(description);
}

function setUserdata(set: NftSet): UserdataItem[] {
  const type = userdataType.set;
  const items = [numberItem(type.keyByteOrder, byteOrderNumber(set.key))];
  if (set.data?.kind === "value") items.push(numberItem(type.dataByteOrder, byteOrderNumber(set.data.layout)));
  if (set.autoMerge) items.push(numberItem(type.mergeElements, 1));
  if (set.key.typeOf !== undefined) items.push({ type: type.keyTypeof, value: set.key.typeOf });
  if (set.data?.kind === "value" && set.data.layout.typeOf !== undefined) {
    items.push({ type: type.dataTypeof, value: set.data.layout.typeOf });
  }
  if (set.data?.kind === "verdict" && set.key.typeOf !== undefined) {
    items.push({ type: type.dataTypeof, value: verdictTypeof });
  }
  if (set.data?.kind === "value" && set.data.interval) items.push(numberItem(type.dataInterval, 1));
  if (set.comment !== undefined) items.push(commentItem(type.comment, set.comment));
  return items;
}

/** One element (`NFTA_SET_ELEM_*`) in a list. */
export function encodeElement(writer: NetlinkWriter, element: Element): void {
  const nest = writer.beginNested(1);
  if (!element.catchAll) writeValue(writer, 1, element.key);
  if (element.data !== undefined) writeValue(writer, 2, element.data);
  else if (element.verdict !== undefined) writeVerdict(writer, 2, element.verdict);
  const flags = (element.intervalEnd ? elementFlags.intervalEnd : 0) | (element.catchAll ? elementFlags.catchAll : 0);
  if (flags !== 0) writer.attributeU32BE(3, flags);
  if (element.timeout !== undefined) writer.attributeU64BE(4, element.timeout);
  if (element.expiration !== undefined) writer.attributeU64BE(5, element.expiration);
  writeComment(writer, 6, userdataType.elementComment, element.comment);
  if (element.object !== undefined) writer.attributeString(9, element.object);
  if (element.keyEnd !== undefined) writeValue(writer, 10, element.keyEnd);
  encodeState(writer, element.expressions, 7, 11);
  writer.endNested(nest);
}

/** One stateful expression in one attribute, several in another. */
function encodeState(writer: NetlinkWriter, expressions: NftSet["expressions"], one: number, several: number): void {
  const [first] = expressions ?? [];
  if (expressions === undefined || first === undefined) return;
  if (expressions.length === 1) expressionCodec.encode(writer, one, first);
  else expressionCodec.encodeList(writer, several, expressions);
}

/** `NFTA_OBJ_*`. */
export function encodeObject(writer: NetlinkWriter, object: NftObject): void {
  writer.attributeString(1, object.table);
  writer.attributeString(2, object.name);
  writer.attributeU32BE(3, objectTypes[object.type]);
  const data = writer.beginNested(4);
  writer.bytes(expressionCodec.encodeData(object.state));
  writer.endNested(data);
  writeComment(writer, 8, userdataType.objectComment, object.comment);
}

function writeComment(writer: NetlinkWriter, attribute: number, type: number, comment: string | undefined): void {
  if (comment !== undefined) writer.attributeBytes(attribute, encodeUserdata([commentItem(type, comment)]));
}

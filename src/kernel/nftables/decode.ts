/** Reads nf_tables objects from the attributes of their messages. The counterpart is `encode.ts`. */
import type { AttributeReader, MessageReader } from "../netlink/reader.ts";
import { dataTypes, hostOrder, keyParts } from "./datatypes.ts";
import type { Expression } from "./expressions/expression.ts";
import { fromBits, numbering, value, verdict } from "./expressions/fields.ts";
import { expressionCodec, objectTypes } from "./expressions/table.ts";
import {
  baseChainFlag,
  chainFlags,
  elementFlags,
  familyName,
  headerLength,
  hookName,
  setFlags,
  tableFlags,
  verdictType,
} from "./protocol.ts";
import type {
  BaseChain,
  Chain,
  ChainType,
  Element,
  Generation,
  KeyLayout,
  NftObject,
  NftSet,
  ObjectType,
  Rule,
  SetData,
  SetFlag,
  SetRef,
  Table,
  TableFamily,
} from "./types.ts";
import { commentText, decodeUserdata, itemNumber, userdataType } from "./userdata.ts";

const objectTypeName = numbering<ObjectType>(objectTypes).nameOf;
const valueField = value(1);
const verdictField = verdict(1);

/** An object in the making: the fields that were found. */
type Draft<T> = { -readonly [K in keyof T]?: T[K] };

/** The family in the message's header, undefined for one that we have no name for. */
export function messageFamily(message: MessageReader): TableFamily | undefined {
  return familyName(message.u8(0));
}

/** A table. @returns undefined for a family without a name. */
export function decodeTable(message: MessageReader): Table | undefined {
  const family = messageFamily(message);
  if (family === undefined) return undefined;
  let table = "";
  const draft: Draft<Table> = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) {
      const flags = fromBits(tableFlags, a.u32BE() & 7) ?? [];
      if (flags.length > 0) draft.flags = flags;
    } else if (a.type === 3) draft.use = a.u32BE();
    else if (a.type === 4) draft.handle = a.u64BE();
    else if (a.type === 6) setComment(draft, a, userdataType.tableComment);
  }
  return { family, table, ...draft };
}

/** A chain. @returns undefined for a family without a name. */
export function decodeChain(message: MessageReader): Chain | undefined {
  const family = messageFamily(message);
  if (family === undefined) return undefined;
  let table = "";
  let chain = "";
  let hook: ReturnType<typeof decodeHook>;
  let type: string | undefined;
  let policy: number | undefined;
  const draft: Draft<Chain> = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) draft.handle = a.u64BE();
    else if (a.type === 3) chain = a.string();
    else if (a.type === 4) hook = decodeHook(family, a.nested());
    else if (a.type === 5) policy = a.u32BE();
    else if (a.type === 6) draft.use = a.u32BE();
    else if (a.type === 7) type = a.string();
    else if (a.type === 10) {
      const flags = fromBits(chainFlags, a.u32BE() & ~baseChainFlag & 7) ?? [];
      if (flags.length > 0) draft.flags = flags;
    } else if (a.type === 12) setComment(draft, a, userdataType.chainComment);
  }
  if (hook !== undefined && type !== undefined) {
    draft.base = { type: type as ChainType, ...hook, policy: policy === 0 ? "drop" : "accept" };
  }
  return { family, table, chain, ...draft };
}

function decodeHook(family: TableFamily, attributes: AttributeReader): Omit<BaseChain, "type"> | undefined {
  let hook: BaseChain["hook"] | undefined;
  let priority = 0;
  const devices: string[] = [];
  while (attributes.next()) {
    if (attributes.type === 1) hook = hookName(family, attributes.u32BE());
    else if (attributes.type === 2) priority = attributes.i32BE();
    else if (attributes.type === 3) devices.push(attributes.string());
    else if (attributes.type === 4) {
      const list: string[] = [];
      for (const device = attributes.nested(); device.next(); ) list.push(device.string());
      devices.splice(0, devices.length, ...list);
    }
  }
  if (hook === undefined) return undefined;
  return { hook, priority, ...(devices.length > 0 ? { devices } : {}) };
}

/** A rule. @returns undefined for a family without a name. */
export function decodeRule(message: MessageReader): Rule | undefined {
  const family = messageFamily(message);
  if (family === undefined) return undefined;
  let table = "";
  let chain = "";
  let expressions: Expression[] = [];
  const draft: Draft<Rule> = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) chain = a.string();
    else if (a.type === 3) draft.handle = a.u64BE();
    else if (a.type === 4) expressions = expressionCodec.decodeList(a.nested());
    else if (a.type === 5) {
      let protocol = 0;
      let flags = 0;
      for (const part = a.nested(); part.next(); ) {
        if (part.type === 1) protocol = part.u32BE();
        else if (part.type === 2) flags = part.u32BE();
      }
      draft.compat = { protocol, flags };
    } else if (a.type === 7) {
      const others = setComment(draft, a, userdataType.ruleComment);
      if (others > 0) draft.userdata = a.copy();
    }
  }
  return { family, table, chain, expressions, ...draft };
}

/** A set or map. @returns undefined for a family without a name, or an object map of an unknown type. */
export function decodeSet(message: MessageReader): NftSet | undefined {
  const family = messageFamily(message);
  if (family === undefined) return undefined;
  let table = "";
  let set = "";
  let dataType: number | undefined;
  let dataLength = 0;
  let objectType: ObjectType | undefined;
  let key: KeyLayout = { type: 0, length: 0 };
  let dataTypeof: Uint8Array | undefined;
  let dataByteOrder: Uint8Array | undefined;
  let interval = false;
  let flags: readonly SetFlag[] = [];
  const draft: Draft<NftSet> = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) set = a.string();
    else if (a.type === 3) flags = fromBits(setFlags, a.u32BE() & 0x1ff) ?? [];
    else if (a.type === 4) key = { ...key, type: a.u32BE() };
    else if (a.type === 5) key = { ...key, length: a.u32BE() };
    else if (a.type === 6) dataType = a.u32BE();
    else if (a.type === 7) dataLength = a.u32BE();
    else if (a.type === 8) {
      if (a.u32BE() === 1) draft.policy = "memory";
    } else if (a.type === 9) {
      const { size, fields } = decodeDescription(a.nested());
      if (size !== undefined) draft.size = size;
      if (fields !== undefined) key = { ...key, fields };
    } else if (a.type === 11) draft.timeout = a.u64BE();
    else if (a.type === 12) draft.gcInterval = a.u32BE();
    else if (a.type === 13) {
      draft.userdata = a.copy();
      for (const item of decodeUserdata(draft.userdata)) {
        if (item.type === userdataType.set.keyTypeof) key = { ...key, typeOf: item.value };
        else if (item.type === userdataType.set.dataTypeof) dataTypeof = item.value;
        else if (item.type === userdataType.set.keyByteOrder) key = withByteOrder(key, item.value);
        else if (item.type === userdataType.set.dataByteOrder) dataByteOrder = item.value;
        else if (item.type === userdataType.set.dataInterval) interval = itemNumber(item.value) === 1;
        else if (item.type === userdataType.set.comment) draft.comment = commentText(item.value);
        else if (item.type === userdataType.set.mergeElements && itemNumber(item.value)) draft.autoMerge = true;
      }
    } else if (a.type === 15) objectType = objectTypeName(a.u32BE());
    else if (a.type === 16) draft.handle = a.u64BE();
    else if (a.type === 17) draft.expressions = [expressionCodec.decode(a.nested())];
    else if (a.type === 18) draft.expressions = expressionCodec.decodeList(a.nested());
  }
  if (flags.length > 0) draft.flags = flags;
  if (flags.includes("object")) {
    if (objectType === undefined) return undefined;
    draft.data = { kind: "object", type: objectType };
  } else if (dataType !== undefined) {
    draft.data = decodeData(dataType, dataLength, dataTypeof, dataByteOrder);
    if (interval && draft.data.kind === "value") draft.data = { ...draft.data, interval };
  }
  return { family, table, set, key: withFields(key), ...draft };
}

function decodeData(
  type: number,
  length: number,
  typeOf: Uint8Array | undefined,
  byteOrder: Uint8Array | undefined,
): SetData {
  if (type === verdictType) return { kind: "verdict" };
  const layout = withFields({ type, length, ...(typeOf === undefined ? {} : { typeOf }) });
  return { kind: "value", layout: byteOrder === undefined ? layout : withByteOrder(layout, byteOrder) };
}

/** Only of numbers whose type does not say it is the byte order worth keeping. */
function withByteOrder(layout: KeyLayout, stored: Uint8Array): KeyLayout {
  if (layout.type !== dataTypes.integer.id || itemNumber(stored) !== hostOrder) return layout;
  return { ...layout, byteOrder: "host" };
}

/** Adds the lengths of a concatenation's parts where the kernel does not keep them. */
function withFields(layout: KeyLayout): KeyLayout {
  if (layout.fields !== undefined) return layout;
  const parts = keyParts(layout);
  return parts.length > 1 ? { ...layout, fields: parts.map((part) => part.length) } : layout;
}

function decodeDescription(attributes: AttributeReader): { size?: number; fields?: number[] } {
  const description: { size?: number; fields?: number[] } = {};
  while (attributes.next()) {
    if (attributes.type === 1) description.size = attributes.u32BE();
    else if (attributes.type === 2) {
      const fields: number[] = [];
      for (const field = attributes.nested(); field.next(); ) {
        for (const part = field.nested(); part.next(); ) if (part.type === 1) fields.push(part.u32BE());
      }
      description.fields = fields;
    }
  }
  return description;
}

/** A list of elements with the set that they belong to. @returns undefined for a family without a name. */
export function decodeElements(message: MessageReader): (SetRef & { readonly elements: Element[] }) | undefined {
  const family = messageFamily(message);
  if (family === undefined) return undefined;
  let table = "";
  let set = "";
  const elements: Element[] = [];
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) set = a.string();
    else if (a.type === 3)
      for (const element = a.nested(); element.next(); ) elements.push(decodeElement(element.nested()));
  }
  return { family, table, set, elements };
}

const noKey = new Uint8Array();

function decodeElement(a: AttributeReader): Element {
  let key: Uint8Array = noKey;
  const draft: Draft<Element> = {};
  while (a.next()) {
    if (a.type === 1) key = valueField.read(a) ?? noKey;
    else if (a.type === 2) {
      const data = valueField.read(a);
      if (data !== undefined) draft.data = data;
      else {
        const decision = verdictField.read(a);
        if (decision !== undefined) draft.verdict = decision;
      }
    } else if (a.type === 3) {
      const flags = a.u32BE();
      if (flags & elementFlags.intervalEnd) draft.intervalEnd = true;
      if (flags & elementFlags.catchAll) draft.catchAll = true;
    } else if (a.type === 4) draft.timeout = a.u64BE();
    else if (a.type === 5) draft.expiration = a.u64BE();
    else if (a.type === 6) setComment(draft, a, userdataType.elementComment);
    else if (a.type === 7) draft.expressions = [expressionCodec.decode(a.nested())];
    else if (a.type === 9) draft.object = a.string();
    else if (a.type === 10) {
      const end = valueField.read(a);
      if (end !== undefined) draft.keyEnd = end;
    } else if (a.type === 11) draft.expressions = expressionCodec.decodeList(a.nested());
  }
  return { key, ...draft };
}

/** A named object. @returns undefined for a family or type without a name. */
export function decodeObject(message: MessageReader): NftObject | undefined {
  const family = messageFamily(message);
  let table = "";
  let name = "";
  let type: ObjectType | undefined;
  let data: Uint8Array = noKey;
  const draft: Draft<NftObject> = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) name = a.string();
    else if (a.type === 3) type = objectTypeName(a.u32BE());
    else if (a.type === 4) data = a.bytes();
    else if (a.type === 5) draft.use = a.u32BE();
    else if (a.type === 6) draft.handle = a.u64BE();
    else if (a.type === 8) setComment(draft, a, userdataType.objectComment);
  }
  if (family === undefined || type === undefined) return undefined;
  return { family, table, name, type, state: expressionCodec.decodeData(type, data), ...draft };
}

/** The generation of the rule set. */
export function decodeGeneration(message: MessageReader): Generation {
  let id = 0;
  const draft: Draft<Generation> = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) id = a.u32BE();
    else if (a.type === 2) draft.processId = a.u32BE();
    else if (a.type === 3) draft.processName = a.string();
  }
  return { id, ...draft };
}

/** Takes the comment out of user data. @returns how many other items there are. */
function setComment(draft: { comment?: string }, attribute: AttributeReader, type: number): number {
  let others = 0;
  for (const item of decodeUserdata(attribute.bytes())) {
    if (item.type === type) draft.comment = commentText(item.value);
    else others++;
  }
  return others;
}

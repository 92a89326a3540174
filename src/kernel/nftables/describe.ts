/** Says in words what a message of a transaction was about, to explain a refusal. Never on the way of a success. */
import { attributeHeaderLength, messageHeaderLength } from "../netlink/constants.ts";
import { type AttributeReader, MessageReader } from "../netlink/reader.ts";
import { messageFamily } from "./decode.ts";
import { headerLength, operation, subsystem } from "./protocol.ts";

/** The verb and noun of an operation, and the attributes that name its object, in order. */
const operations: Readonly<Record<number, readonly [string, readonly number[]]>> = {
  [operation.newTable]: ["add table", [1]],
  [operation.deleteTable]: ["delete table", [1]],
  [operation.newChain]: ["add chain", [1, 3]],
  [operation.deleteChain]: ["delete chain", [1, 3]],
  [operation.destroyChain]: ["destroy chain", [1, 3]],
  [operation.newRule]: ["add rule", [1, 2]],
  [operation.deleteRule]: ["delete rule", [1, 2]],
  [operation.destroyRule]: ["destroy rule", [1, 2]],
  [operation.newSet]: ["add set", [1, 2]],
  [operation.deleteSet]: ["delete set", [1, 2]],
  [operation.destroySet]: ["destroy set", [1, 2]],
  [operation.newElements]: ["add element", [1, 2]],
  [operation.deleteElements]: ["delete element", [1, 2]],
  [operation.destroyElements]: ["destroy element", [1, 2]],
  [operation.newObject]: ["add object", [1, 2]],
  [operation.deleteObject]: ["delete object", [1, 2]],
  [operation.destroyObject]: ["destroy object", [1, 2]],
};

const elementList = 3;
const ruleExpressions = 4;

/**
 * Describes a message, such as `add element ip portolan endpoints { key 0a000001 }`.
 *
 * @param buffer messages, of which the first `length` bytes count.
 * @param sequence which of them.
 * @param offset where in the message the offending attribute is, if that is known.
 */
export function describeMessage(buffer: Uint8Array, length: number, sequence: number, offset?: number): string {
  for (const message = new MessageReader(buffer, length); message.next(); ) {
    if (message.sequence !== sequence) continue;
    const [words, naming] = message.type >> 8 === subsystem ? (operations[message.type & 255] ?? []) : [];
    if (words === undefined || naming === undefined) return "nf_tables transaction";
    const names = new Map<number, string>();
    let detail = "";
    for (const a = message.attributes(headerLength); a.next(); ) {
      if (naming.includes(a.type)) names.set(a.type, a.string());
      else if (words.endsWith("element") && a.type === elementList) detail = describeElement(a, message.offset, offset);
      else if (words.endsWith("rule") && a.type === ruleExpressions)
        detail = describeExpression(a, message.offset, offset);
    }
    const path = naming.map((number) => names.get(number)).filter((name) => name !== undefined);
    return [words, messageFamily(message), ...path].join(" ") + detail;
  }
  return "nf_tables transaction";
}

/** The element of a list that an offset points into. */
function describeElement(list: AttributeReader, messageStart: number, offset: number | undefined): string {
  const element = childAt(list, messageStart, offset);
  if (element === undefined) return "";
  for (const a = element.reader; a.next(); ) {
    if (a.type === 1)
      for (const key = a.nested(); key.next(); ) return ` { key ${Buffer.from(key.bytes()).toString("hex")} }`;
  }
  return "";
}

/** The expression of a rule that an offset points into. */
function describeExpression(list: AttributeReader, messageStart: number, offset: number | undefined): string {
  const expression = childAt(list, messageStart, offset);
  if (expression === undefined) return "";
  for (const a = expression.reader; a.next(); )
    if (a.type === 1) return ` (expression ${expression.index + 1}, ${a.string()})`;
  return "";
}

/** The attribute in a list that contains an offset of the message. */
function childAt(
  list: AttributeReader,
  messageStart: number,
  offset: number | undefined,
): { readonly index: number; readonly reader: AttributeReader } | undefined {
  if (offset === undefined || offset < messageHeaderLength) return undefined;
  const at = messageStart + offset;
  let index = 0;
  for (const child = list.nested(); child.next(); index++) {
    if (at >= child.offset - attributeHeaderLength && at < child.offset + child.length) {
      return { index, reader: child.nested() };
    }
  }
  return undefined;
}

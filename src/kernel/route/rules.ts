/** Rules of policy routing over rtnetlink (`linux/fib_rules.h`): which packets look into which routing table. */
import { addressBytes, type Family } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, prefixLength } from "../../net/prefix.ts";
import {
  type AttributeReader,
  type MessageReader,
  messageFlags,
  NetlinkFormatError,
  type NetlinkSocket,
  type NetlinkWriter,
} from "../netlink/index.ts";
import { familyFromNumber, familyNumber, messageType, prefixOfLength, readAddress } from "./constants.ts";

/** What a rule does with the packets that it fits. */
export type RuleAction =
  | { readonly kind: "lookup"; readonly table: number }
  | { readonly kind: "goto"; readonly priority: number }
  | { readonly kind: "nop" | "blackhole" | "unreachable" | "prohibit" };

/** From and to, both inclusive. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** A rule. Those of a family apply in the order of their priorities, the smallest first. */
export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly action: RuleAction;
  /** The conditions hold for the packets that they do not fit. */
  readonly invert: boolean;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly inInterface?: string;
  readonly outInterface?: string;
  /** The packet's mark, of which the bits of `mask` count. */
  readonly mark?: { readonly value: number; readonly mask: number };
  readonly tos?: number;
  /** An IANA protocol number. */
  readonly protocol?: number;
  readonly sourcePorts?: NumberRange;
  readonly destinationPorts?: NumberRange;
  readonly users?: NumberRange;
  /** Routes found with a prefix length of at most this do not count. */
  readonly suppressPrefixLength?: number;
  /** Looks into the table of the VRF that the packet belongs to. */
  readonly vrf: boolean;
}

const attributeType = {
  destination: 1,
  source: 2,
  inInterface: 3,
  goto: 4,
  priority: 6,
  mark: 10,
  suppressPrefixLength: 14,
  table: 15,
  mask: 16,
  outInterface: 17,
  vrf: 19,
  users: 20,
  protocol: 22,
  sourcePorts: 23,
  destinationPorts: 24,
} as const;
/** `FR_ACT_*`. */
const actionNumber = { lookup: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
const inverted = 2;
const headerLength = 12;

/** All rules of the socket's namespace, of one family if given, in the order in which they apply. */
export function listRules(socket: NetlinkSocket, family?: Family): readonly Rule[] {
  const write = (writer: NetlinkWriter) => {
    const header = new Uint8Array(headerLength);
    header[0] = familyNumber(family);
    writer.bytes(header);
  };
  return socket.dump("list rules", messageType.getRule, write, decodeRule);
}

/** A rule to be added or deleted. */
export type RuleSpec = Pick<Rule, "family" | "priority" | "action"> & Partial<Rule>;

/** Adds a rule. @throws {NetlinkError} EEXIST if there is one like it. */
export function addRule(socket: NetlinkSocket, rule: RuleSpec): void {
  request(socket, "add", messageType.newRule, messageFlags.create | messageFlags.exclusive, rule);
}

/** Deletes the first rule that is as `rule` says. @throws {NetlinkError} ENOENT if there is none. */
export function deleteRule(socket: NetlinkSocket, rule: RuleSpec): void {
  request(socket, "delete", messageType.deleteRule, 0, rule);
}

function request(socket: NetlinkSocket, verb: string, type: number, flags: number, rule: RuleSpec): void {
  const { action, source, destination, mark } = rule;
  for (const prefix of [source, destination]) {
    if (prefix !== undefined && prefixFamily(prefix) !== rule.family) {
      throw new TypeError(`rule ${rule.priority}: ${prefix} is not of family ${rule.family}`);
    }
  }
  socket.request(`${verb} ${rule.family} rule ${rule.priority}`, type, flags, (writer) => {
    writer.u8(familyNumber(rule.family));
    writer.u8(destination === undefined ? 0 : prefixLength(destination));
    writer.u8(source === undefined ? 0 : prefixLength(source));
    writer.u8(rule.tos ?? 0);
    writer.u8(action.kind === "lookup" && action.table < 256 ? action.table : 0);
    writer.u16(0);
    writer.u8(actionNumber[action.kind]);
    writer.u32(rule.invert ? inverted : 0);
    writer.attributeU32(attributeType.priority, rule.priority);
    if (action.kind === "lookup") writer.attributeU32(attributeType.table, action.table);
    if (action.kind === "goto") writer.attributeU32(attributeType.goto, action.priority);
    if (destination) writer.attributeBytes(attributeType.destination, addressBytes(prefixAddress(destination)));
    if (source) writer.attributeBytes(attributeType.source, addressBytes(prefixAddress(source)));
    if (rule.inInterface !== undefined) writer.attributeString(attributeType.inInterface, rule.inInterface);
    if (rule.outInterface !== undefined) writer.attributeString(attributeType.outInterface, rule.outInterface);
    if (mark) writer.attributeU32(attributeType.mark, mark.value);
    if (mark) writer.attributeU32(attributeType.mask, mark.mask);
    if (rule.protocol !== undefined) writer.attributeU8(attributeType.protocol, rule.protocol);
    if (rule.sourcePorts) writePorts(writer, attributeType.sourcePorts, rule.sourcePorts);
    if (rule.destinationPorts) writePorts(writer, attributeType.destinationPorts, rule.destinationPorts);
    if (rule.suppressPrefixLength !== undefined) {
      writer.attributeU32(attributeType.suppressPrefixLength, rule.suppressPrefixLength);
    }
  });
}

function writePorts(writer: NetlinkWriter, type: number, { first, last }: NumberRange): void {
  const value = new Uint8Array(4);
  const view = new DataView(value.buffer);
  view.setUint16(0, first, true);
  view.setUint16(2, last, true);
  writer.attributeBytes(type, value);
}

/** Reads a message about a rule; undefined for other families and unknown actions. */
export function decodeRule(message: MessageReader): Rule | undefined {
  const family = familyFromNumber(message.u8(0));
  if (family === undefined) return undefined;
  const rule: { -readonly [Key in keyof Rule]?: Rule[Key] } = {};
  let table = message.u8(4);
  let target = 0;
  let mark: number | undefined;
  let mask = 0xffff_ffff;
  for (const attribute = message.attributes(headerLength); attribute.next(); ) {
    switch (attribute.type) {
      case attributeType.destination:
        rule.destination = prefixOfLength(readAddress(attribute), message.u8(1));
        break;
      case attributeType.source:
        rule.source = prefixOfLength(readAddress(attribute), message.u8(2));
        break;
      case attributeType.inInterface:
        rule.inInterface = attribute.string();
        break;
      case attributeType.outInterface:
        rule.outInterface = attribute.string();
        break;
      case attributeType.goto:
        target = attribute.u32();
        break;
      case attributeType.priority:
        rule.priority = attribute.u32();
        break;
      case attributeType.mark:
        mark = attribute.u32();
        break;
      case attributeType.mask:
        mask = attribute.u32();
        break;
      case attributeType.table:
        table = attribute.u32();
        break;
      case attributeType.suppressPrefixLength:
        // The kernel says -1 for "does not matter".
        if (attribute.i32() >= 0) rule.suppressPrefixLength = attribute.i32();
        break;
      case attributeType.vrf:
        rule.vrf = attribute.u8() !== 0;
        break;
      case attributeType.users:
        rule.users = readRange(attribute, 4);
        break;
      case attributeType.protocol:
        rule.protocol = attribute.u8();
        break;
      case attributeType.sourcePorts:
        rule.sourcePorts = readRange(attribute, 2);
        break;
      case attributeType.destinationPorts:
        rule.destinationPorts = readRange(attribute, 2);
        break;
    }
  }
  const action = actionOf(message.u8(7), table, target);
  if (action === undefined) return undefined;
  const tos = message.u8(3);
  return {
    priority: 0,
    vrf: false,
    ...rule,
    family,
    action,
    invert: (message.u32(8) & inverted) !== 0,
    ...(tos !== 0 && { tos }),
    ...(mark !== undefined && { mark: { value: mark, mask } }),
  };
}

function actionOf(number: number, table: number, target: number): RuleAction | undefined {
  if (number === actionNumber.lookup) return { kind: "lookup", table };
  if (number === actionNumber.goto) return { kind: "goto", priority: target };
  for (const kind of ["nop", "blackhole", "unreachable", "prohibit"] as const) {
    if (number === actionNumber[kind]) return { kind };
  }
  return undefined;
}

function readRange(attribute: AttributeReader, size: 2 | 4): NumberRange {
  const bytes = attribute.bytes();
  if (bytes.length !== 2 * size) throw new NetlinkFormatError(`range of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return size === 2
    ? { first: view.getUint16(0, true), last: view.getUint16(2, true) }
    : { first: view.getUint32(0, true), last: view.getUint32(4, true) };
}

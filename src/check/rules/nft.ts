/** Rules of nf_tables, those of iptables' nft variant among them, in plain form. */
import type { Expression, Rule } from "../../kernel/nftables/index.ts";
import { addressFromBytes } from "../../net/address.ts";
import { prefixOf } from "../../net/prefix.ts";
import { allStates, type Conditions, type Decided, type MarkChange, type Mutable, type PlainRule } from "./plain.ts";

/** Expressions that ask nothing. */
const harmless = new Set(["counter", "immediate", "log", "last", "meta set", "ct set", "notrack"]);

/**
 * The rule of nf_tables in plain form. Those of iptables' nft variant are among them.
 *
 * @param keysOf the keys of a set of the rule's table.
 */
export function plainNftRule(
  { expressions, family }: Pick<Rule, "expressions" | "family">,
  keysOf: (set: string) => readonly Uint8Array[],
): PlainRule {
  const others: string[] = [];
  const conditions: Mutable<Conditions> = { others };
  const registers = new Map<number, { readonly load: Expression; mask?: Uint8Array }>();
  let decided: Decided = { kind: "other" };
  for (const expression of expressions) {
    switch (expression.kind) {
      case "payload":
      case "meta":
      case "ct":
        registers.set(expression.dreg, { load: expression });
        break;
      case "bitwise": {
        const before = registers.get(expression.sreg);
        if (before?.mask === undefined && before !== undefined && expression.xor.every((byte) => byte === 0)) {
          registers.set(expression.dreg, { load: before.load, mask: expression.mask });
        } else registers.delete(expression.dreg);
        break;
      }
      case "cmp": {
        const loaded = registers.get(expression.sreg);
        const { op, data } = expression;
        const known =
          loaded !== undefined &&
          (op === "eq" || op === "neq") &&
          compare(conditions, loaded.load, loaded.mask, op === "neq", data, family);
        if (!known) others.push(loaded === undefined ? "cmp" : describe(loaded.load));
        break;
      }
      case "lookup": {
        const load = registers.get(expression.sreg)?.load;
        const isState = load?.kind === "ct" && load.key === "state" && expression.dreg === undefined;
        if (isState && !expression.inverted) {
          conditions.states = keysOf(expression.set).reduce((sum, key) => sum | (key[0] ?? 0), 0);
        } else others.push("lookup");
        break;
      }
      case "match":
        if (expression.name === "conntrack") Object.assign(conditions, statesOfMatch(expression.info, others));
        else if (expression.name !== "comment") others.push(expression.name);
        break;
      case "verdict": {
        const { verdict } = expression;
        if (verdict.kind === "jump" || verdict.kind === "goto") decided = { kind: verdict.kind, chain: verdict.chain };
        else if (verdict.kind === "accept" || verdict.kind === "drop" || verdict.kind === "return") {
          decided = { kind: verdict.kind };
        }
        break;
      }
      case "reject":
        decided = { kind: "reject" };
        break;
      case "target":
        decided = { kind: expression.name === "REJECT" ? "reject" : "other" };
        break;
      default:
        if (!harmless.has(expression.kind)) others.push(expression.kind);
    }
  }
  const mark = markChange(expressions);
  return { conditions, decided, ...(mark && { mark }) };
}

/** What a rule makes of the mark; undefined where it does not change it, or takes it from what is not known here. */
function markChange(expressions: readonly Expression[]): MarkChange | undefined {
  const isChange = ({ kind, ...rest }: Expression) =>
    (kind === "meta set" && "key" in rest && rest.key === "mark") ||
    (kind === "target" && "name" in rest && rest.name === "MARK");
  if (!expressions.some(isChange)) return undefined;
  const registers = new Map<number, MarkChange>();
  let change: MarkChange | undefined;
  for (const expression of expressions) {
    switch (expression.kind) {
      case "meta":
        if (expression.key === "mark") registers.set(expression.dreg, { keep: 0xffff_ffff, flip: 0 });
        else registers.delete(expression.dreg);
        break;
      case "immediate":
        if (expression.data.length === 4) registers.set(expression.dreg, { keep: 0, flip: word(expression.data) });
        else registers.delete(expression.dreg);
        break;
      case "bitwise": {
        const before = registers.get(expression.sreg);
        registers.delete(expression.dreg);
        if (before === undefined || expression.length !== 4) break;
        const mask = word(expression.mask);
        const flip = ((before.flip & mask) ^ word(expression.xor)) >>> 0;
        registers.set(expression.dreg, { keep: (before.keep & mask) >>> 0, flip });
        break;
      }
      case "meta set":
        if (expression.key === "mark") change = registers.get(expression.sreg);
        break;
      case "target":
        // struct xt_mark_tginfo2: the value, and the mask of the bits that go before it is put in.
        if (expression.name === "MARK" && expression.info.length >= 8) {
          change = { keep: ~word(expression.info.subarray(4)) >>> 0, flip: word(expression.info) };
        }
        break;
      default:
        if ("dreg" in expression && expression.dreg !== undefined) registers.delete(expression.dreg);
    }
  }
  return change;
}

/** Four bytes as the number that they are on this machine, as marks are. */
function word(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
}

/** Takes a comparison into the conditions. @returns false if it is none of those that are understood. */
function compare(
  conditions: Mutable<Conditions>,
  load: Expression,
  mask: Uint8Array | undefined,
  not: boolean,
  data: Uint8Array,
  family: string,
): boolean {
  if (load.kind === "meta" && mask === undefined) {
    switch (load.key) {
      case "iifname":
        conditions.input = { value: interfaceName(data), not };
        return true;
      case "oifname":
        conditions.output = { value: interfaceName(data), not };
        return true;
      case "l4proto":
        conditions.protocol = { value: data[0] ?? 0, not };
        return true;
      case "nfproto":
        if (not) return false;
        conditions.family = data[0] === 2 ? "IPv4" : "IPv6";
        return true;
      case "protocol":
        if (not) return false;
        conditions.family = data[0] === 8 ? "IPv4" : "IPv6";
        return true;
    }
  }
  if (load.kind === "ct" && load.key === "state" && mask !== undefined) {
    if (!not || data.some((byte) => byte !== 0)) return false;
    conditions.states = mask[0] ?? 0;
    return true;
  }
  if (load.kind !== "payload" || load.base !== "network") return false;
  const isIPv4 = family === "ip" || conditions.family === "IPv4";
  const isIPv6 = family === "ip6" || conditions.family === "IPv6";
  if (isIPv4 && load.offset === 9 && load.length === 1 && mask === undefined) {
    conditions.protocol = { value: data[0] ?? 0, not };
    return true;
  }
  const length = isIPv4 ? 4 : isIPv6 ? 16 : 0;
  const first = isIPv4 ? 12 : 8;
  if (length === 0 || load.length > length) return false;
  const bits = mask === undefined ? 8 * load.length : maskLength(mask);
  if (bits === undefined || (load.offset !== first && load.offset !== first + length)) return false;
  const bytes = new Uint8Array(length);
  bytes.set(data.subarray(0, length));
  conditions[load.offset === first ? "source" : "destination"] = {
    value: prefixOf(addressFromBytes(bytes), bits),
    not,
  };
  return true;
}

/** The state bits of `struct xt_conntrack_mtinfo3`, which are those of nf_tables. */
function statesOfMatch(info: Uint8Array, others: string[]): Pick<Conditions, "states"> {
  const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
  // match_flags: nothing but XT_CONNTRACK_STATE is asked.
  if (info.length < 156 || view.getUint16(146, true) !== 1) {
    others.push("conntrack");
    return {};
  }
  const inverted = (view.getUint16(148, true) & 1) !== 0;
  const states = view.getUint16(150, true);
  return { states: (inverted ? ~states : states) & allStates };
}

function interfaceName(data: Uint8Array): string {
  const end = data.indexOf(0);
  return end < 0 ? `${Buffer.from(data).toString("latin1")}+` : Buffer.from(data.subarray(0, end)).toString("latin1");
}

/** The number of ones that a mask begins with; undefined if there are others. */
function maskLength(mask: Uint8Array): number | undefined {
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const length = bits.indexOf("0") < 0 ? bits.length : bits.indexOf("0");
  return bits.includes("1", length) ? undefined : length;
}

function describe(load: Expression): string {
  return "key" in load && typeof load.key === "string" ? `${load.kind} ${load.key}` : load.kind;
}

/**
 * Rules of nf_tables and of iptables' old variant in one form: what a rule asks of a packet, as far as it can be told
 * here, and what it decides. Enough to say that a rule is about all packets of some prefix, not to follow a packet.
 */
import type { Expression, Rule } from "../kernel/nftables/index.ts";
import { splitRule } from "../kernel/xtables/rule.ts";
import { addressFromBytes, type Family, tryParseAddress } from "../net/address.ts";
import { hostPrefix, type Prefix, prefixOf, tryParsePrefix } from "../net/prefix.ts";

/** A value that a packet must have, or must not have. */
export interface Wanted<T> {
  readonly value: T;
  readonly not: boolean;
}

/** What a rule asks. All conditions must hold. */
export interface Conditions {
  /** The name of the input interface; with `+` at its end, the beginning of the name. */
  readonly input?: Wanted<string>;
  readonly output?: Wanted<string>;
  readonly source?: Wanted<Prefix>;
  readonly destination?: Wanted<Prefix>;
  /** Bits of the connection's state, of which it must have one: 1 invalid, 2 established, 4 related, 8 new, 64 untracked. */
  readonly states?: number;
  /** The number of the transport protocol. */
  readonly protocol?: Wanted<number>;
  /** The family, where the rule asks. */
  readonly family?: Family;
  /** Whatever else it asks, by the name of the expression or match. */
  readonly others: readonly string[];
}

/** What a rule decides. */
export type Decided =
  | { readonly kind: "accept" | "drop" | "reject" | "return" | "other" }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

/** A rule. */
export interface PlainRule {
  readonly conditions: Conditions;
  readonly decided: Decided;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

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
  return { conditions, decided };
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

/** Bits of all states, translated and not. */
const allStates = 0x7f;

const stateBits: Readonly<Record<string, number>> = {
  INVALID: 1,
  ESTABLISHED: 2,
  RELATED: 4,
  NEW: 8,
  UNTRACKED: 64,
};
const protocolNumbers: Readonly<Record<string, number>> = {
  tcp: 6,
  udp: 17,
  sctp: 132,
  icmp: 1,
  icmpv6: 58,
  "ipv6-icmp": 58,
};

/** A rule as `iptables-save` writes it, without `-A` and its chain, in plain form; one that cannot be read asks something unknown. */
export function plainLegacyRule(text: string): PlainRule {
  const words = tryWords(text);
  if (words === undefined) return { conditions: { others: ["unreadable"] }, decided: { kind: "other" } };
  const others: string[] = [];
  const conditions: Mutable<Conditions> = { others };
  let decided: Decided = { kind: "other" };
  let not = false;
  for (let i = 0; i < words.length; i++) {
    const option = words[i] ?? "";
    const value = words[i + 1] ?? "";
    if (option === "!") {
      not = true;
      continue;
    }
    switch (option) {
      case "-i":
        conditions.input = { value, not };
        break;
      case "-o":
        conditions.output = { value, not };
        break;
      case "-s":
      case "-d": {
        const prefix = anyPrefix(value);
        if (prefix === undefined) others.push(option);
        else conditions[option === "-s" ? "source" : "destination"] = { value: prefix, not };
        break;
      }
      case "-p":
        if (Object.hasOwn(protocolNumbers, value)) conditions.protocol = { value: protocolNumbers[value] ?? 0, not };
        else if (value !== "all") others.push("-p");
        break;
      case "--ctstate":
      case "--state": {
        const bits = value.split(",").reduce((sum, name) => sum | (stateBits[name] ?? 0), 0);
        conditions.states = (not ? ~bits : bits) & allStates;
        break;
      }
      case "-m":
        if (!["comment", "conntrack", "state", "tcp", "udp", "sctp"].includes(value)) others.push(value);
        break;
      case "--comment":
        break;
      case "-j":
      case "-g":
        decided = decidedBy(option, value);
        // What follows are the target's own options.
        return { conditions, decided };
      default:
        if (option.startsWith("-")) others.push(option);
        else continue;
    }
    i++;
    not = false;
  }
  return { conditions, decided };
}

function tryWords(text: string): readonly string[] | undefined {
  try {
    return splitRule(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function decidedBy(option: "-j" | "-g", target: string): Decided {
  if (option === "-g") return { kind: "goto", chain: target };
  const verdicts: Readonly<Record<string, Decided["kind"]>> = {
    ACCEPT: "accept",
    DROP: "drop",
    REJECT: "reject",
    RETURN: "return",
  };
  const kind = verdicts[target];
  if (kind === "accept" || kind === "drop" || kind === "reject" || kind === "return") return { kind };
  // Whether it is a chain or a target such as MARK, whoever asks sees when looking for the chain.
  return { kind: "jump", chain: target };
}

function anyPrefix(text: string): Prefix | undefined {
  const address = tryParseAddress(text);
  return address === undefined ? tryParsePrefix(text) : hostPrefix(address);
}

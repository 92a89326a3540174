/**
 * Tables of iptables' old variant as chains and rules of nf_tables, so that one engine follows both. An option that is
 * not known becomes a match that nobody knows, on which the rule then depends.
 */

import {
  type Chain,
  type Expression,
  firstRegister,
  type Hook,
  interfaceNameBytes,
  type Rule,
  type TableFamily,
} from "../../kernel/nftables/index.ts";
import { splitRule } from "../../kernel/xtables/rule.ts";
import { addressBytes, type Family, tryParseAddress } from "../../net/address.ts";
import { prefixAddress, prefixLength, prefixRange, tryParsePrefix } from "../../net/prefix.ts";
import { tryParseHostPort } from "../../net/protocol.ts";
import type { LegacyTable } from "../snapshot/types.ts";
import { protocolNumber } from "./packet.ts";

/** Chains with their rules. */
export interface Translation {
  readonly chains: readonly Chain[];
  readonly rules: readonly Rule[];
}

const priorities: Readonly<Record<string, number>> = { raw: -300, mangle: -150, filter: 0, security: 50 };
const natPriorities: Readonly<Record<string, number>> = {
  PREROUTING: -100,
  OUTPUT: -100,
  INPUT: 100,
  POSTROUTING: 100,
};
const hooks: Readonly<Record<string, Hook>> = {
  PREROUTING: "prerouting",
  INPUT: "input",
  FORWARD: "forward",
  OUTPUT: "output",
  POSTROUTING: "postrouting",
};

/** Translates a table. It is then called `iptables-legacy NAME`, which no table of nf_tables is. */
export function translateLegacy({ family, name, chains }: LegacyTable): Translation {
  const place = { family: (family === "IPv4" ? "ip" : "ip6") as TableFamily, table: `iptables-legacy ${name}` };
  const names = new Set(chains.map((chain) => chain.name));
  return {
    chains: chains.map((chain): Chain => {
      const hook = chain.policy === undefined ? undefined : hooks[chain.name];
      if (hook === undefined) return { ...place, chain: chain.name };
      const priority = (name === "nat" ? natPriorities[chain.name] : priorities[name]) ?? 0;
      const policy = chain.policy === "DROP" ? "drop" : "accept";
      return { ...place, chain: chain.name, base: { type: name === "nat" ? "nat" : "filter", hook, priority, policy } };
    }),
    rules: chains.flatMap((chain) =>
      chain.rules.map((text) => ({ ...place, chain: chain.name, ...translateRule(text, family, names) })),
    ),
  };
}

/** The words of a rule, taken one after the other. */
class Words {
  readonly #words: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#words = splitRule(text);
  }

  next(): string | undefined {
    return this.#words[this.#at++];
  }

  /** The next word, which stays; empty at the end. */
  peek(): string {
    return this.#words[this.#at] ?? "";
  }

  /** The next word where it is no option: an option's value. */
  value(): string {
    const word = this.#words[this.#at];
    if (word === undefined || word === "!" || /^--?[a-z]/i.test(word)) return "";
    this.#at++;
    return word;
  }
}

type Eq = "eq" | "neq";

/** Translates a rule: its conditions in their order, then what it does. */
export function translateRule(
  text: string,
  family: Family,
  chains: ReadonlySet<string>,
): Pick<Rule, "expressions" | "comment"> {
  const words = new Words(text);
  const conditions: Expression[] = [];
  const rule = new Target(family, chains);
  let comment: string | undefined;
  let inverted = false;
  for (let word = words.next(); word !== undefined; word = words.next()) {
    if (word === "!") {
      inverted = true;
      continue;
    }
    const op: Eq = inverted ? "neq" : "eq";
    if (word === "-m") {
      if (words.value() === "recent") conditions.push(recent(words));
    } else if (word === "--comment") comment = words.value();
    else if (word === "-j" || word === "-g") rule.name(words.value(), word === "-g");
    else if (rule.named) rule.option(word, words.value());
    else conditions.push(...(condition(word, words, op, family) ?? [unknownMatch(word)]));
    inverted = false;
  }
  return { expressions: [...conditions, ...rule.expressions()], ...(comment !== undefined && { comment }) };
}

function unknownMatch(option: string): Expression {
  return { kind: "match", name: option.replace(/^-+/, ""), revision: 0, info: new Uint8Array() };
}

const protocols: Readonly<Record<string, number>> = { ...protocolNumber, "ipv6-icmp": 58 };
const dreg = firstRegister;

function condition(option: string, words: Words, op: Eq, family: Family): readonly Expression[] | undefined {
  const value = words.value();
  switch (option) {
    case "-s":
    case "-d":
      return addressCondition(option, value, op, family);
    case "-i":
    case "-o":
      return interfaceCondition(option === "-i" ? "iifname" : "oifname", value, op);
    case "-p": {
      const number = protocols[value] ?? (/^\d+$/.test(value) ? Number(value) : undefined);
      if (number === undefined) return value === "all" ? [] : undefined;
      return [
        { kind: "meta", dreg, key: "l4proto" },
        { kind: "cmp", sreg: dreg, op, data: Uint8Array.of(number) },
      ];
    }
    case "--sport":
    case "--dport": {
      const [first = "", last = first] = value.split(":");
      return [
        { kind: "payload", dreg, base: "transport", offset: option === "--sport" ? 0 : 2, length: 2 },
        { kind: "range", sreg: dreg, op, from: portBytes(first, 0), to: portBytes(last, 65_535) },
      ];
    }
    case "--sports":
    case "--dports":
    case "--ports":
      return multiport(option, value, op);
    case "--ctstate":
      return conntrackState(value, op);
    case "--mark": {
      const [mark, mask = 0xffff_ffff] = numbers(value);
      if (mark === undefined) return undefined;
      return [match("mark", 1, [u32(mark), u32(mask), [op === "neq" ? 1 : 0]])];
    }
    case "--src-type":
    case "--dst-type": {
      const bits = bitsOf(value, addressTypes, (bit) => 1 << bit);
      if (bits === undefined) return undefined;
      const isSource = option === "--src-type";
      const flags = op === "eq" ? 0 : isSource ? 1 : 2;
      return [match("addrtype", 1, [u16(isSource ? bits : 0), u16(isSource ? 0 : bits), u32(flags)])];
    }
    case "--mode":
      return value === "random" ? [] : undefined;
    case "--probability": {
      const number = Number(value);
      if (!(number >= 0 && number <= 1)) return undefined;
      return [match("statistic", 0, [u16(0), u16(op === "neq" ? 1 : 0), u32(Math.round(number * 2 ** 31))])];
    }
    case "--tcp-flags":
      return tcpFlags(value, words.value(), op);
    default:
      return undefined;
  }
}

function addressCondition(
  option: "-s" | "-d",
  value: string,
  op: Eq,
  family: Family,
): readonly Expression[] | undefined {
  const [text = "", mask = ""] = value.split("/");
  const length = family === "IPv4" ? 4 : 16;
  const prefix = tryParsePrefix(mask === "" ? `${text}/${8 * length}` : value);
  if (prefix === undefined || addressBytes(prefixAddress(prefix)).length !== length) return undefined;
  const offset = (family === "IPv4" ? 12 : 8) + (option === "-s" ? 0 : length);
  const load: Expression = { kind: "payload", dreg, base: "network", offset, length };
  const { first, last } = prefixRange(prefix);
  if (prefixLength(prefix) === 0)
    return op === "eq" ? [] : [load, { kind: "range", sreg: dreg, op, from: first, to: last }];
  return [load, { kind: "range", sreg: dreg, op, from: first, to: last }];
}

function interfaceCondition(key: "iifname" | "oifname", value: string, op: Eq): readonly Expression[] | undefined {
  const isPrefix = value.endsWith("+");
  const name = isPrefix ? value.slice(0, -1) : value;
  if (name === "") return isPrefix && op === "eq" ? [] : undefined;
  if (name.length > 15) return undefined;
  const bytes = interfaceNameBytes(name);
  const data = isPrefix ? bytes.slice(0, name.length) : bytes;
  return [
    { kind: "meta", dreg, key },
    { kind: "cmp", sreg: dreg, op, data },
  ];
}

/** All options of a `recent` match; they end where the next match or the target begins. */
function recent(words: Words): Expression {
  const info = new Uint8Array(210);
  while (words.peek() === "!" || /^--/.test(words.peek())) {
    const option = words.next() ?? "";
    const value = option === "!" ? "" : words.value();
    if (option === "!") info[9] = 1;
    else if (option === "--name") info.set(new TextEncoder().encode(value).subarray(0, 199), 10);
    else info[8] = (info[8] ?? 0) | (recentActions[option] ?? 0);
  }
  return { kind: "match", name: "recent", revision: 1, info };
}

/** `XT_RECENT_*`. */
const recentActions: Readonly<Record<string, number>> = {
  "--rcheck": 1,
  "--set": 2,
  "--update": 4,
  "--remove": 8,
  "--reap": 32,
};

function multiport(option: string, value: string, op: Eq): readonly Expression[] {
  const which = { "--sports": 0, "--dports": 1, "--ports": 2 }[option] ?? 0;
  const info = new Uint8Array(48);
  const view = new DataView(info.buffer);
  let count = 0;
  for (const part of value.split(",")) {
    const [first = "", last] = part.split(":");
    const ends = last === undefined ? [first] : [first, last];
    for (const [i, port] of ends.entries()) {
      if (count === 15) break;
      view.setUint16(2 + 2 * count, Number(port), true);
      if (i === 0 && ends.length > 1) info[32 + count] = 1;
      count++;
    }
  }
  info.set([which, count]);
  info[47] = op === "neq" ? 1 : 0;
  return [{ kind: "match", name: "multiport", revision: 1, info }];
}

const states = { INVALID: 1, ESTABLISHED: 2, RELATED: 4, NEW: 8, SNAT: 64, DNAT: 128, UNTRACKED: 256 } as const;
const addressTypes = {
  UNSPEC: 0,
  UNICAST: 1,
  LOCAL: 2,
  BROADCAST: 3,
  ANYCAST: 4,
  MULTICAST: 5,
  BLACKHOLE: 6,
  UNREACHABLE: 7,
  PROHIBIT: 8,
} as const;
const tcpFlagBits = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ALL: 63, NONE: 0 } as const;

function conntrackState(value: string, op: Eq): readonly Expression[] | undefined {
  const bits = bitsOf(value, states, (bit) => bit);
  if (bits === undefined) return undefined;
  const info = new Uint8Array(168);
  const view = new DataView(info.buffer);
  view.setUint16(146, 1, true);
  view.setUint16(148, op === "neq" ? 1 : 0, true);
  view.setUint16(150, bits, true);
  return [{ kind: "match", name: "conntrack", revision: 3, info }];
}

function tcpFlags(mask: string, compared: string, op: Eq): readonly Expression[] | undefined {
  const [bits, wanted] = [mask, compared].map((text) => bitsOf(text, tcpFlagBits, (bit) => bit));
  if (bits === undefined || wanted === undefined) return undefined;
  return [
    match("tcp", 0, [u16(0), u16(65_535), u16(0), u16(65_535), [0, bits, wanted, op === "neq" ? 4 : 0, 0, 0, 0, 0]]),
  ];
}

function bitsOf(
  value: string,
  names: Readonly<Record<string, number>>,
  bit: (number: number) => number,
): number | undefined {
  let bits = 0;
  for (const name of value.split(",")) {
    const number = names[name];
    if (number === undefined) return undefined;
    bits |= bit(number);
  }
  return bits;
}

function match(name: string, revision: number, parts: readonly (readonly number[])[]): Expression {
  return { kind: "match", name, revision, info: Uint8Array.from(parts.flat()) };
}

const u16 = (value: number) => [value & 255, (value >> 8) & 255];
const u32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
const numbers = (value: string) =>
  value.split("/").map((text) => (/^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : undefined));

function portBytes(text: string, none: number): Uint8Array {
  const port = text === "" ? none : Number(text);
  return Uint8Array.of(port >> 8, port & 255);
}

/** How REJECT answers (`ipt_reject_with`, `ip6t_reject_with`). */
const rejections: Readonly<Record<string, Partial<Record<Family, number>>>> = {
  "icmp-net-unreachable": { IPv4: 0 },
  "icmp-host-unreachable": { IPv4: 1 },
  "icmp-proto-unreachable": { IPv4: 2 },
  "icmp-port-unreachable": { IPv4: 3 },
  "icmp-net-prohibited": { IPv4: 5 },
  "icmp-host-prohibited": { IPv4: 6 },
  "icmp-admin-prohibited": { IPv4: 8 },
  "tcp-reset": { IPv4: 7, IPv6: 6 },
  "icmp6-no-route": { IPv6: 0 },
  "icmp6-adm-prohibited": { IPv6: 1 },
  "icmp6-addr-unreachable": { IPv6: 3 },
  "icmp6-port-unreachable": { IPv6: 4 },
  "icmp6-policy-fail": { IPv6: 7 },
  "icmp6-reject-route": { IPv6: 8 },
};

/** What a rule does: its target and the options behind it. */
class Target {
  readonly #family: Family;
  readonly #chains: ReadonlySet<string>;
  #name = "";
  #isGoto = false;
  readonly #options = new Map<string, string>();

  constructor(family: Family, chains: ReadonlySet<string>) {
    this.#family = family;
    this.#chains = chains;
  }

  get named(): boolean {
    return this.#name !== "";
  }

  name(name: string, isGoto: boolean): void {
    this.#name = name;
    this.#isGoto = isGoto;
  }

  option(name: string, value: string): void {
    this.#options.set(name, value);
  }

  expressions(): readonly Expression[] {
    const name = this.#name;
    if (name === "") return [];
    if (this.#chains.has(name)) {
      return [{ kind: "verdict", verdict: { kind: this.#isGoto ? "goto" : "jump", chain: name } }];
    }
    const verdict = { ACCEPT: "accept", DROP: "drop", RETURN: "return" } as const;
    if (name in verdict) return [{ kind: "verdict", verdict: { kind: verdict[name as keyof typeof verdict] } }];
    return this.#action() ?? [{ kind: "target", name, revision: 0, info: new Uint8Array() }];
  }

  #action(): readonly Expression[] | undefined {
    switch (this.#name) {
      case "MARK": {
        const [mark, mask = 0xffff_ffff] = numbers(this.#options.get("--set-xmark") ?? "");
        if (mark === undefined || this.#options.size !== 1) return undefined;
        return [{ kind: "target", name: "MARK", revision: 2, info: Uint8Array.from([...u32(mark), ...u32(mask)]) }];
      }
      case "REJECT": {
        const usual = this.#family === "IPv4" ? "icmp-port-unreachable" : "icmp6-port-unreachable";
        const number = rejections[this.#options.get("--reject-with") ?? usual]?.[this.#family];
        if (number === undefined) return undefined;
        return [{ kind: "target", name: "REJECT", revision: 0, info: Uint8Array.from(u32(number)) }];
      }
      case "MASQUERADE":
        return this.#options.has("--to-ports") ? undefined : [{ kind: "masq", ...this.#flags() }];
      case "DNAT":
        return this.#nat("dnat", this.#options.get("--to-destination"));
      case "SNAT":
        return this.#nat("snat", this.#options.get("--to-source"));
      case "REDIRECT": {
        const port = this.#options.get("--to-ports");
        if (port === undefined || !/^\d+$/.test(port)) return undefined;
        return [
          { kind: "immediate", dreg, data: portBytes(port, 0) },
          { kind: "redir", portMin: dreg },
        ];
      }
      case "NOTRACK":
        return [{ kind: "notrack" }];
      case "CT":
        return this.#options.has("--notrack") && this.#options.size === 1 ? [{ kind: "notrack" }] : undefined;
      default:
        return undefined;
    }
  }

  #flags(): { readonly flags?: readonly ("random" | "fully-random")[] } {
    if (this.#options.has("--random-fully")) return { flags: ["fully-random"] };
    return this.#options.has("--random") ? { flags: ["random"] } : {};
  }

  /** Translations to one address, one port or both; ranges are not followed. */
  #nat(type: "dnat" | "snat", to: string | undefined): readonly Expression[] | undefined {
    const whole = tryParseAddress(to ?? "");
    const parts = whole === undefined ? tryParseHostPort(to ?? "") : undefined;
    const address = whole ?? tryParseAddress(parts?.host ?? "");
    if (address === undefined && (parts === undefined || parts.host !== "")) return undefined;
    const portRegister = dreg + 4;
    return [
      ...(address === undefined ? [] : [{ kind: "immediate", dreg, data: addressBytes(address) } as const]),
      ...(parts === undefined
        ? []
        : [{ kind: "immediate", dreg: portRegister, data: portBytes(String(parts.port), 0) } as const]),
      {
        kind: "nat",
        type,
        family: this.#family === "IPv4" ? "ip" : "ip6",
        ...(address !== undefined && { addressMin: dreg }),
        ...(parts !== undefined && { portMin: portRegister }),
        ...this.#flags(),
      },
    ];
  }
}

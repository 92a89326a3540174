/** Rules of iptables' old variant in plain form. */
import { splitRule } from "../../kernel/xtables/rule.ts";
import { tryParseAddress } from "../../net/address.ts";
import { hostPrefix, type Prefix, tryParsePrefix } from "../../net/prefix.ts";
import { allStates, type Conditions, type Decided, type MarkChange, type Mutable, type PlainRule } from "./plain.ts";

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
        return { conditions, decided, ...(value === "MARK" && markChange(words.slice(i + 2))) };
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

/** `iptables-save` writes all changes as `--set-xmark VALUE/MASK`. */
function markChange([option, value = ""]: readonly string[]): { readonly mark?: MarkChange } {
  const [, flip, mask] = /^(0x[0-9a-f]{1,8})\/(0x[0-9a-f]{1,8})$/.exec(value) ?? [];
  if (option !== "--set-xmark" || flip === undefined || mask === undefined) return {};
  return { mark: { keep: ~Number(mask) >>> 0, flip: Number(flip) } };
}

function anyPrefix(text: string): Prefix | undefined {
  const address = tryParseAddress(text);
  return address === undefined ? tryParsePrefix(text) : hostPrefix(address);
}

/** The structures of iptables' matches and targets (`linux/netfilter/xt_*.h`), with addresses in them replaced. */
import type { XtMatch, XtTarget } from "../../kernel/nftables/index.ts";
import type { RuleRenaming } from "./expressions.ts";
import { staysRange } from "./mapping.ts";

/** The bytes of a match or target. Those of whose addresses nothing is known here are emptied, and said to be. */
export function replaceExtension({ kind, name, info }: XtMatch | XtTarget, renaming: RuleRenaming): Uint8Array {
  const { mapping } = renaming;
  const result = info.slice();
  const isIPv6 = (at: number) => info.subarray(at + 4, at + 16).some((byte) => byte !== 0);
  const put = (at: number, size: number) => {
    if (at + size > info.length) return;
    result.set(mapping.address(info.subarray(at, at + size)), at);
  };
  // A union of both families, of which the rest is zeros for IPv4.
  const either = (at: number) => {
    if (at + 16 <= info.length) put(at, isIPv6(at) ? 16 : 4);
  };
  const range = (at: number, last: number) => {
    const size = isIPv6(at) || isIPv6(last) ? 16 : 4;
    if (!staysRange(info.subarray(at, at + size), info.subarray(last, last + size))) {
      renaming.unfaithful(`a range of addresses of iptables' ${kind} ${name}`);
    }
    either(at);
    either(last);
  };
  if (name === "comment" || name === "LOG" || name === "NFLOG") return new Uint8Array(info.length);
  if (kind === "match" && name === "conntrack") for (const at of [0, 32, 64, 96]) either(at);
  else if (kind === "match" && name === "iprange") {
    range(0, 16);
    range(32, 48);
  } else if (kind === "target" && /^(DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP)$/.test(name)) {
    // IPv4's first revisions have struct nf_nat_ipv4_multi_range_compat, all others struct nf_nat_range.
    if (info.length < 40) for (const at of [8, 12]) put(at, 4);
    else range(4, 20);
  } else if (kind === "target" && name === "TPROXY") either(8);
  else if (kind === "match" && name === "recent") return renamedList(result, renaming);
  else if (!withoutAddresses.test(name)) {
    renaming.unfaithful(`iptables' ${kind} ${name}`);
    return new Uint8Array();
  }
  return result;
}

/** The name of a list of clients. */
function renamedList(info: Uint8Array, { mapping }: RuleRenaming): Uint8Array {
  const [at, size] = [10, 200];
  const name = Buffer.from(info.subarray(at, at + size))
    .toString("latin1")
    .replace(/\0.*$/s, "");
  info.fill(0, at, at + size).set(Buffer.from(mapping.name("list", name)).subarray(0, size - 1), at);
  return info;
}

/** Matches and targets whose structures hold neither addresses nor names. */
const withoutAddresses =
  /^(tcp|udp|udplite|sctp|dccp|icmp|icmp6|multiport|mark|connmark|state|addrtype|statistic|set|SET|limit|pkttype|tos|dscp|ttl|hl|length|owner|physdev|rpfilter|socket|connlimit|connbytes|time|cpu|ecn|esp|ah|frag|rt|hbh|dst|mh|eui64|devgroup|cgroup|helper|quota|u32|bpf|realm|tcpmss|ipv6header|standard|MARK|CONNMARK|CT|NOTRACK|REJECT|TCPMSS|TCPOPTSTRIP|CLASSIFY|TOS|DSCP|TTL|HL|CHECKSUM|NFQUEUE|TRACE|AUDIT|ERROR)$/;

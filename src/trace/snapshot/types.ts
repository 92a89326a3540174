/** A snapshot: everything that decides a packet's way on a node, or in a network namespace, as plain values. */
import type { ConntrackEntry } from "../../kernel/conntrack/index.ts";
import type { AnySet } from "../../kernel/ipset/index.ts";
import type { CountedDestination, IpvsTimeouts, VirtualService } from "../../kernel/ipvs/index.ts";
import type { Expression, Ruleset } from "../../kernel/nftables/index.ts";
import type { FdbEntry, InterfaceAddress, Link, Neighbour, Route, Rule } from "../../kernel/route/index.ts";
import type { ListeningSocket } from "../../kernel/sockets/listening.ts";
import type { RecentList } from "../../kernel/xtables/recent.ts";
import type { Family } from "../../net/address.ts";
import type { ClusterObjects } from "./objects.ts";
import type { PacketProgram } from "./programs.ts";

/** The version of the format that this program writes, and the only one that it reads. */
export const schemaVersion = 1;

/** A snapshot. All lists are in the kernel's order. */
export interface Snapshot {
  readonly schemaVersion: typeof schemaVersion;
  /** The machine's name, or the namespace's. */
  readonly name: string;
  /** When it was taken, in ISO 8601. */
  readonly time: string;
  /** The kernel's release, such as `6.18.0`. */
  readonly kernel: string;
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
  readonly rules: readonly Rule[];
  readonly routes: readonly Route[];
  /** By name with slashes, e.g. `net/ipv4/ip_forward`: those of {@link sysctls} that this kernel has. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly nftables: Ruleset;
  /** The tables of iptables' old variant; those of the nft variant are in {@link nftables}. */
  readonly iptables: readonly LegacyTable[];
  readonly ipsets: readonly AnySet[];
  /** What iptables' match `recent` remembers; absent where it could not be read, and in older documents. */
  readonly recent?: readonly RecentList[];
  /** Absent where the kernel has no IPVS. */
  readonly ipvs?: Balancer;
  readonly conntrack: readonly ConntrackEntry[];
  readonly sockets: readonly ListeningSocket[];
  /** The queues on which programs listen that rules give packets to; absent where they could not be read, and in older documents. */
  readonly queues?: readonly number[];
  /** What packets meet outside of netfilter: eBPF programs, and filters of tc; absent in older documents. */
  readonly programs?: readonly PacketProgram[];
  /** What could not be read, a sentence each. */
  readonly missing: readonly string[];
  /** Names and addresses were replaced: whose chains and sets are, their names do not tell any more. */
  readonly anonymised?: boolean;
  /** Tells the namespace from all others, of this machine and of others. */
  readonly identity?: string;
  /** The namespaces that its links lead to: the numbers that stand in `linkNamespace`, and whose they are. */
  readonly namespaces?: readonly NumberedNamespace[];
  /** Other namespaces of the machine, those of pods above all. They hold no further ones. */
  readonly places?: readonly Snapshot[];
  /** The objects of the cluster, where somebody asked its API. */
  readonly objects?: ClusterObjects;
}

/** What a namespace calls another one. */
export interface NumberedNamespace {
  readonly number: number;
  readonly identity: string;
}

/** The kernel's own load balancer. */
export interface Balancer {
  readonly services: readonly BalancedService[];
  readonly timeouts: IpvsTimeouts;
}

/** A virtual service with its destinations, in the order in which its scheduler has them. */
export interface BalancedService extends VirtualService {
  readonly destinations: readonly CountedDestination[];
}

/** A table of iptables' old variant. */
export interface LegacyTable {
  readonly family: Family;
  readonly name: string;
  readonly chains: readonly LegacyChain[];
}

/** A chain of it. */
export interface LegacyChain {
  readonly name: string;
  /** Built-in chains only: `ACCEPT` or `DROP`. */
  readonly policy?: string;
  /** As `iptables-save` writes them, without `-A` and the chain's name; empty where that program is not there. */
  readonly rules: readonly string[];
  /** What each rule does, from the kernel itself. */
  readonly expressions?: readonly (readonly Expression[])[];
}

/** Sysctls of the whole namespace that decide about packets. */
export const sysctls: readonly string[] = [
  "net/ipv4/ip_forward",
  "net/ipv4/ip_nonlocal_bind",
  "net/ipv4/ip_local_port_range",
  "net/ipv4/ip_local_reserved_ports",
  "net/ipv6/bindv6only",
  "net/netfilter/nf_conntrack_max",
  "net/netfilter/nf_conntrack_tcp_be_liberal",
  "net/bridge/bridge-nf-call-iptables",
  "net/bridge/bridge-nf-call-ip6tables",
  "net/ipv4/vs/conn_reuse_mode",
  "net/ipv4/vs/expire_nodest_conn",
  "net/ipv4/vs/conntrack",
];

/** Sysctls of each interface, and of `all`: with `NAME` for the interface. */
export const interfaceSysctls: readonly string[] = [
  "net/ipv4/conf/NAME/forwarding",
  "net/ipv4/conf/NAME/rp_filter",
  "net/ipv4/conf/NAME/accept_local",
  "net/ipv4/conf/NAME/route_localnet",
  "net/ipv4/conf/NAME/proxy_arp",
  "net/ipv4/conf/NAME/src_valid_mark",
  "net/ipv6/conf/NAME/forwarding",
  "net/ipv6/conf/NAME/disable_ipv6",
];

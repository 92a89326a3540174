/** The sets of the ipvs mode: kube-proxy's names and types, and a few of Portolan's own. */
import type { Entry, SetHeader, SetType } from "../../../kernel/ipset/index.ts";
import type { Family } from "../../../net/address.ts";

/** All sets by their names in IPv4, with what is in them. */
export const sets = {
  "KUBE-LOOP-BACK": { type: "hash:ip,port,ip", content: "endpoints of this node, which may call themselves" },
  "KUBE-CLUSTER-IP": { type: "hash:ip,port", content: "cluster IPs" },
  "KUBE-EXTERNAL-IP": { type: "hash:ip,port", content: "external IPs with policy Cluster" },
  "KUBE-EXTERNAL-IP-LOCAL": { type: "hash:ip,port", content: "external IPs with policy Local" },
  "KUBE-LOAD-BALANCER": { type: "hash:ip,port", content: "load-balancer IPs" },
  "KUBE-LOAD-BALANCER-LOCAL": { type: "hash:ip,port", content: "load-balancer IPs with policy Local" },
  "KUBE-LOAD-BALANCER-FW": { type: "hash:ip,port", content: "load-balancer IPs with source ranges" },
  "KUBE-LOAD-BALANCER-SOURCE-IP": { type: "hash:ip,port,ip", content: "addresses in source ranges" },
  "KUBE-LOAD-BALANCER-SOURCE-CIDR": { type: "hash:ip,port,net", content: "prefixes in source ranges" },
  "KUBE-NODE-PORT-TCP": { type: "bitmap:port", content: "TCP node ports" },
  "KUBE-NODE-PORT-LOCAL-TCP": { type: "bitmap:port", content: "TCP node ports with policy Local" },
  "KUBE-NODE-PORT-UDP": { type: "bitmap:port", content: "UDP node ports" },
  "KUBE-NODE-PORT-LOCAL-UDP": { type: "bitmap:port", content: "UDP node ports with policy Local" },
  "KUBE-NODE-PORT-SCTP-HASH": { type: "hash:ip,port", content: "SCTP node ports" },
  "KUBE-NODE-PORT-LOCAL-SCTP-HASH": { type: "hash:ip,port", content: "SCTP node ports with policy Local" },
  "KUBE-HEALTH-CHECK-NODE-PORT": { type: "bitmap:port", content: "ports of health checks" },
  "KUBE-IPVS-IPS": { type: "hash:ip", content: "addresses of kube-ipvs0" },
  "KUBE-MASQUERADE-ALL": { type: "hash:ip,port", content: "cluster IPs whose clients are all masqueraded" },
  "KUBE-NO-ENDPOINTS": { type: "hash:ip,port", content: "front ends that refuse everyone" },
  "KUBE-NO-LOCAL-ENDPOINTS": { type: "hash:ip,port", content: "front ends that drop everyone" },
  "KUBE-NO-LOCAL-OUTSIDE": { type: "hash:ip,port", content: "front ends that drop all but pods and this node" },
} as const satisfies Record<string, { readonly type: SetType; readonly content: string }>;

/** A set, by its name in IPv4. */
export type SetName = keyof typeof sets;

/** The names of all sets. */
export const setNames = Object.keys(sets) as readonly SetName[];

/**
 * The comments that rules have where they look into a set: kube-proxy's, which people and tools search for. None: Portolan
 * alone has the set, or kube-proxy's rules have no comment.
 */
export const ruleComments: Partial<Record<SetName, string>> = {
  "KUBE-LOOP-BACK": "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
  "KUBE-CLUSTER-IP": "Kubernetes service cluster ip + port for masquerade purpose",
  "KUBE-EXTERNAL-IP": "Kubernetes service external ip + port for masquerade and filter purpose",
  "KUBE-EXTERNAL-IP-LOCAL": "Kubernetes service external ip + port with externalTrafficPolicy=local",
  "KUBE-LOAD-BALANCER": "Kubernetes service lb portal",
  "KUBE-LOAD-BALANCER-LOCAL": "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
  "KUBE-LOAD-BALANCER-FW": "Kubernetes service load balancer ip + port for load balancer with sourceRange",
  "KUBE-LOAD-BALANCER-SOURCE-IP": "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
  "KUBE-LOAD-BALANCER-SOURCE-CIDR":
    "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
  "KUBE-NODE-PORT-TCP": "Kubernetes nodeport TCP port for masquerade purpose",
  "KUBE-NODE-PORT-LOCAL-TCP": "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
  "KUBE-NODE-PORT-UDP": "Kubernetes nodeport UDP port for masquerade purpose",
  "KUBE-NODE-PORT-LOCAL-UDP": "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
  "KUBE-NODE-PORT-SCTP-HASH": "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
  "KUBE-NODE-PORT-LOCAL-SCTP-HASH":
    "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
  "KUBE-HEALTH-CHECK-NODE-PORT": "Kubernetes health check node port",
};

/** The longest name that the kernel takes. */
const longestName = 31;

/** The name of a set in a family, as kube-proxy makes it: `KUBE-6-…` in IPv6, cut where it is too long. */
export function nameIn(set: SetName, family: Family): string {
  return family === "IPv4" ? set : set.replace("KUBE-", "KUBE-6-").slice(0, longestName);
}

/** A set of a family as the kernel knows it. */
export function headerOf(set: SetName, family: Family): SetHeader {
  const { type } = sets[set];
  return { name: nameIn(set, family), type, family: type.startsWith("hash:") ? family : "IPv4" };
}

/** An entry and the set that it belongs to. */
export interface Member {
  readonly set: SetName;
  readonly entry: Entry;
}

/** What is decided once for the node, not for each service: the second input of every mode. */
import type { Address, Family } from "../net/address.ts";
import type { Prefix } from "../net/prefix.ts";

/** How packets from pods are told from others (KubeProxyConfiguration.detectLocalMode), resolved for one family. */
export type LocalDetector =
  | { readonly kind: "none" }
  /** Source address in one of these prefixes (modes ClusterCIDR and NodeCIDR). */
  | { readonly kind: "prefixes"; readonly prefixes: readonly Prefix[] }
  /** Came in through this bridge. */
  | { readonly kind: "bridge"; readonly interface: string }
  /** Came in through an interface whose name starts so. */
  | { readonly kind: "interfacePrefix"; readonly prefix: string };

/** The addresses on which node ports answer, resolved for one family. */
export type NodePortAddresses =
  /** Every local address, loopback excepted unless `loopback`. */
  | { readonly kind: "all"; readonly loopback: boolean }
  | { readonly kind: "addresses"; readonly addresses: readonly Address[] };

/** Settings of the data plane in one family. */
export interface FamilySettings {
  readonly detector: LocalDetector;
  readonly nodePortAddresses: NodePortAddresses;
  /** Ranges that cluster IPs are given from: packets to an address of these that no Service has are dropped. */
  readonly serviceCIDRs: readonly Prefix[];
}

/** Settings of the data plane. */
export interface NodeSettings {
  /** The bit of the packet mark that asks for masquerade, 0 to 31. */
  readonly masqueradeBit: number;
  /** The families that this node serves. */
  readonly families: Readonly<Partial<Record<Family, FamilySettings>>>;
  /** For the ipvs mode alone; absent: as by default. */
  readonly ipvs?: IpvsSettings;
}

/** Settings that only the ipvs mode has (KubeProxyConfiguration.ipvs). Timeouts are seconds, 0 leaves the kernel's own. */
export interface IpvsSettings {
  /** The scheduler of services that name none; empty: rr. */
  readonly scheduler: string;
  /** Virtual services in these prefixes are somebody else's, whatever they look like. */
  readonly excludeCIDRs: readonly Prefix[];
  /** Do not answer ARP for addresses of services, nor use them as sources of ARP. */
  readonly strictARP: boolean;
  readonly tcpTimeout: number;
  /** After a FIN. */
  readonly tcpFinTimeout: number;
  readonly udpTimeout: number;
}

/** What holds where `NodeSettings.ipvs` says nothing. */
export const defaultIpvsSettings: IpvsSettings = {
  scheduler: "",
  excludeCIDRs: [],
  strictARP: false,
  tcpTimeout: 0,
  tcpFinTimeout: 0,
  udpTimeout: 0,
};

/** What a configuration means once the mode is known. */
import { parsePrefix } from "../../net/prefix.ts";
import { type NodePortSelector, tryParseNodePortSelector } from "../../service/nodeports.ts";
import type { ProxyOptions } from "../../service/resolve.ts";
import type { IpvsSettings } from "../../service/settings.ts";
import type { ModeName } from "../modes/mode.ts";
import { featureEnabled } from "./gates.ts";
import { parseSloppyPrefix } from "./sloppy.ts";
import type { IpvsConfiguration, KubeProxyConfiguration, SyncConfiguration } from "./types.ts";

/** The periods of the section that the mode takes them from. */
export function syncConfiguration(config: KubeProxyConfiguration, mode: ModeName): SyncConfiguration {
  if (mode === "iptables" || mode === "ipvs") return config[mode];
  return config.nftables;
}

/** What policy and data planes need of a valid configuration. */
export function policyOptions(config: KubeProxyConfiguration, mode: ModeName): ProxyOptions {
  // As kube-proxy has it, mode ipvs takes the mark from the section of iptables.
  const section = mode === "iptables" || mode === "ipvs" ? config.iptables : config.nftables;
  return {
    mode,
    masqueradeBit: section.masqueradeBit,
    masqueradeAll: section.masqueradeAll,
    detectLocal: detectLocal(config),
    nodePortAddresses: config.nodePortAddresses.map(nodePortSelector),
    localhostNodePorts: config.iptables.localhostNodePorts,
    allowExternalIPs: featureEnabled("AllowServiceExternalIPs", config.featureGates),
    ...(mode === "ipvs" && { ipvs: ipvsSettings(config.ipvs) }),
  };
}

function ipvsSettings(section: IpvsConfiguration): IpvsSettings {
  const seconds = (milliseconds: number) => Math.ceil(milliseconds / 1000);
  return {
    scheduler: section.scheduler,
    excludeCIDRs: section.excludeCIDRs.map((text) => parseSloppyPrefix(text) ?? parsePrefix(text)),
    strictARP: section.strictARP,
    tcpTimeout: seconds(section.tcpTimeout),
    tcpFinTimeout: seconds(section.tcpFinTimeout),
    udpTimeout: seconds(section.udpTimeout),
  };
}

/** What users of a valid configuration should know, one line each. */
export function configurationNotes(config: KubeProxyConfiguration, mode: ModeName): readonly string[] {
  const notes: string[] = [];
  if (config.detectLocalMode === "ClusterCIDR" && config.clusterCIDR === "") {
    notes.push("clusterCIDR is empty: pods cannot be told from others, so nothing is masqueraded on its way in");
  }
  if (config.nodePortAddresses.length === 0 && (mode === "iptables" || mode === "ipvs")) {
    notes.push("nodePortAddresses is empty: node ports answer on all addresses of this node; consider [primary]");
  }
  if (mode === "nftables" && featureEnabled("KubeProxyNFTablesLocalhostNodePorts", config.featureGates)) {
    notes.push("feature KubeProxyNFTablesLocalhostNodePorts has no effect: node ports do not answer on loopback");
  }
  return notes;
}

/** An entry of nodePortAddresses; undefined if it is none. */
export function tryParseNodePortAddress(text: string): NodePortSelector | undefined {
  return tryParseNodePortSelector(text) ?? parseSloppyPrefix(text);
}

function nodePortSelector(text: string): NodePortSelector {
  return tryParseNodePortAddress(text) ?? parsePrefix(text);
}

function detectLocal(config: KubeProxyConfiguration): ProxyOptions["detectLocal"] {
  switch (config.detectLocalMode) {
    case "NodeCIDR":
      return { mode: "NodeCIDR" };
    case "BridgeInterface":
      return { mode: "BridgeInterface", bridge: config.detectLocal.bridgeInterface };
    case "InterfaceNamePrefix":
      return { mode: "InterfaceNamePrefix", prefix: config.detectLocal.interfaceNamePrefix };
    default: {
      const cidrs = config.clusterCIDR === "" ? [] : config.clusterCIDR.split(",");
      return { mode: "ClusterCIDR", clusterCIDRs: cidrs.map((cidr) => parseSloppyPrefix(cidr) ?? parsePrefix(cidr)) };
    }
  }
}

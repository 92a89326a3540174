/** From configuration and facts about the node to the two things that are decided once: context and settings. */
import type { Family } from "../net/address.ts";
import { type Prefix, prefixFamily } from "../net/prefix.ts";
import { type DetectLocal, resolveDetector } from "./detector.ts";
import {
  type HostAddresses,
  type NodePortSelector,
  nodePortSupport,
  primaryAddress,
  resolveNodePorts,
} from "./nodeports.ts";
import type { FamilyContext, PolicyContext } from "./policy.ts";
import type { FamilySettings, IpvsSettings, NodeSettings } from "./settings.ts";

/** The part of the configuration that policy and data planes need. */
export interface ProxyOptions {
  /** The mode, by the name of KubeProxyConfiguration.mode. */
  readonly mode: string;
  /** 0 to 31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  readonly detectLocal: DetectLocal;
  /** Empty: as the mode does by default. */
  readonly nodePortAddresses: readonly NodePortSelector[];
  /** KubeProxyConfiguration.iptables.localhostNodePorts. */
  readonly localhostNodePorts: boolean;
  /** Feature gate AllowServiceExternalIPs. */
  readonly allowExternalIPs: boolean;
  /** For mode ipvs; absent: as by default. */
  readonly ipvs?: IpvsSettings;
}

/** What must be known of the node. */
export interface NodeFacts {
  readonly name: string;
  /** Empty where the node has no zone. */
  readonly zone: string;
  /** The families that the node can serve. */
  readonly families: readonly Family[];
  readonly addresses: HostAddresses;
  readonly podCIDRs: readonly Prefix[];
  /** The ranges of all ServiceCIDR objects. */
  readonly serviceCIDRs: readonly Prefix[];
}

/** Everything that is decided once for the node. */
export interface Resolved {
  readonly context: PolicyContext;
  readonly settings: NodeSettings;
}

/** Resolves configuration and facts. The order of local addresses and of service ranges does not matter. */
export function resolve(options: ProxyOptions, facts: NodeFacts): Resolved {
  const contexts: Partial<Record<Family, FamilyContext>> = {};
  const settings: Partial<Record<Family, FamilySettings>> = {};
  for (const family of facts.families) {
    const detector = resolveDetector(options.detectLocal, facts.podCIDRs, family);
    const nodeAddress = primaryAddress(facts.addresses, family);
    const support = nodePortSupport(options.mode, options.localhostNodePorts);
    contexts[family] = { detector: detector.kind !== "none", ...(nodeAddress !== undefined && { nodeAddress }) };
    settings[family] = {
      detector,
      nodePortAddresses: resolveNodePorts(options.nodePortAddresses, family, facts.addresses, support),
      serviceCIDRs: [...new Set(facts.serviceCIDRs.filter((range) => prefixFamily(range) === family))].sort(),
    };
  }
  const { masqueradeAll, masqueradeBit, allowExternalIPs, ipvs } = options;
  return {
    context: { nodeName: facts.name, zone: facts.zone, families: contexts, masqueradeAll, allowExternalIPs },
    settings: { masqueradeBit, families: settings, ...(ipvs !== undefined && { ipvs }) },
  };
}

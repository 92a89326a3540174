/** All checks, those of the kernel's settings first, then those of rules, ways and objects. */
import type { Check } from "../finding.ts";
import { bridgeNetfilter } from "./bridge-netfilter.ts";
import { clusterCidr } from "./cluster-cidr.ts";
import { conntrackDrops } from "./conntrack-drops.ts";
import { conntrackFull } from "./conntrack-full.ts";
import { doubleMasquerade } from "./double-masquerade.ts";
import { forwardDrop } from "./forward-drop.ts";
import { hairpin } from "./hairpin.ts";
import { ipForward } from "./ip-forward.ts";
import { ipvsDestinations } from "./ipvs-destinations.ts";
import { ipvsSettings } from "./ipvs-settings.ts";
import { legacyAndNft } from "./legacy-and-nft.ts";
import { localTraffic } from "./local-traffic.ts";
import { localhostNodePort } from "./localhost-node-port.ts";
import { markBits } from "./mark-bits.ts";
import { mtu } from "./mtu.ts";
import { noEndpoints } from "./no-endpoints.ts";
import { nodeAddress } from "./node-address.ts";
import { nodePortBound } from "./node-port-bound.ts";
import { nodePortCollision } from "./node-port-collision.ts";
import { nodePortEphemeral } from "./node-port-ephemeral.ts";
import { proxyLag } from "./proxy-lag.ts";
import { proxyRules } from "./proxy-rules.ts";
import { reversePath } from "./reverse-path.ts";
import { sourceAddress } from "./source-address.ts";
import { staleConntrack } from "./stale-conntrack.ts";
import { staleEndpoint } from "./stale-endpoint.ts";
import { staleNeighbour } from "./stale-neighbour.ts";
import { staleRoute } from "./stale-route.ts";
import { targetPort } from "./target-port.ts";
import { twoProxies } from "./two-proxies.ts";
import { unservedService } from "./unserved-service.ts";

/** The checks. */
export const checks: readonly Check[] = [
  ipForward,
  bridgeNetfilter,
  hairpin,
  reversePath,
  localhostNodePort,
  ipvsSettings,
  nodePortEphemeral,
  conntrackFull,
  conntrackDrops,
  proxyRules,
  twoProxies,
  proxyLag,
  unservedService,
  staleEndpoint,
  ipvsDestinations,
  clusterCidr,
  sourceAddress,
  markBits,
  forwardDrop,
  legacyAndNft,
  staleConntrack,
  staleRoute,
  staleNeighbour,
  mtu,
  doubleMasquerade,
  noEndpoints,
  targetPort,
  localTraffic,
  nodePortBound,
  nodePortCollision,
  nodeAddress,
];

/** All faults that a lab can be broken with. */
import { bridgeNfOff } from "./bridge-nf-off.ts";
import type { Fault } from "./fault.ts";
import { flushedRules } from "./flushed-rules.ts";
import { forwardDrop } from "./forward-drop.ts";
import { hairpinOff } from "./hairpin-off.ts";
import { ipForwardOff } from "./ip-forward-off.ts";
import { legacyRules } from "./legacy-rules.ts";
import { localWithoutEndpoints } from "./local-without-endpoints.ts";
import { mtu } from "./mtu.ts";
import { rpFilter } from "./rp-filter.ts";
import { secondChainDrops } from "./second-chain-drops.ts";
import { staleNeighbour } from "./stale-neighbour.ts";
import { staleRoute } from "./stale-route.ts";
import { staleUdpConntrack } from "./stale-udp-conntrack.ts";
import { wrongClusterCidr } from "./wrong-cluster-cidr.ts";
import { wrongSelector } from "./wrong-selector.ts";
import { wrongTargetPort } from "./wrong-target-port.ts";

/** All faults, those of objects first, then those of the nodes. */
export const faults: readonly Fault[] = [
  wrongSelector,
  wrongTargetPort,
  localWithoutEndpoints,
  wrongClusterCidr,
  flushedRules,
  staleUdpConntrack,
  hairpinOff,
  bridgeNfOff,
  ipForwardOff,
  forwardDrop,
  secondChainDrops,
  legacyRules,
  rpFilter,
  mtu,
  staleRoute,
  staleNeighbour,
];

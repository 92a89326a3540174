/** The first witness of a flow: what the decisions say of a row, read as any data plane has to read them. */
import type { Address } from "../../src/net/address.ts";
import { familyOf, isLoopback } from "../../src/net/address.ts";
import { prefixContains } from "../../src/net/prefix.ts";
import type { Desired, ModeName } from "../../src/proxy/modes/mode.ts";
import type { ClientKind, Decision, Endpoint, FrontEnd } from "../../src/service/decision.ts";
import type { FamilySettings } from "../../src/service/settings.ts";
import type { Row, Target } from "./format.ts";
import { addressOf, isNodeAddress, nodeSource, type Place } from "./places.ts";

/** What the decisions say of a row. */
export type Prediction =
  | {
      readonly kind: "reaches";
      readonly endpoints: readonly PredictedEndpoint[];
      readonly sticky: boolean;
    }
  | { readonly kind: "reject" | "drop" | "ignored" };

/** An endpoint that may be reached, and whether it sees an address of the node instead of the client's. */
export interface PredictedEndpoint extends Endpoint {
  readonly masqueraded: boolean;
}

/** Reads the decisions for a row. */
export function predict({ decisions, settings }: Desired, mode: ModeName, { from, to }: Row): Prediction {
  const family = familyOf(to.address);
  const facts = settings.families[family];
  if (facts === undefined) return { kind: "ignored" };
  const own = [...decisions.values()].filter((decision) => decision.family === family);
  const source = from.site === "node" ? nodeSource(to.address) : addressOf(from, family);
  const found = frontEndFor(own, to, facts);
  if (found === undefined) return withoutFrontEnd(own, to, mode, facts);
  const { decision, frontEnd } = found;
  if (frontEnd.kind === "LoadBalancerIP" && frontEnd.sources?.every((prefix) => !prefixContains(prefix, source))) {
    return { kind: "drop" };
  }
  const outcome = frontEnd.outcomes[kindOf(from, source, facts)];
  if (outcome.kind !== "balance") return outcome;
  const { pool, masquerade } = outcome;
  return {
    kind: "reaches",
    endpoints: decision[pool].map((endpoint) => ({
      ...endpoint,
      masqueraded: endpoint.address === source || (masquerade && leavesNode(from, endpoint)),
    })),
    sticky: decision.affinitySeconds > 0,
  };
}

/** A connection from elsewhere to an endpoint on the node itself is delivered before anything is masqueraded. */
function leavesNode(from: Place, { address }: Endpoint): boolean {
  return from.site === "node" || !isNodeAddress(address);
}

function kindOf(from: Place, source: Address, { detector }: FamilySettings): ClientKind {
  const isPod = {
    none: () => false,
    prefixes: () => detector.kind === "prefixes" && detector.prefixes.some((prefix) => prefixContains(prefix, source)),
    bridge: () => detector.kind === "bridge" && incoming(from) === detector.interface,
    interfacePrefix: () => detector.kind === "interfacePrefix" && incoming(from).startsWith(detector.prefix),
  };
  return isPod[detector.kind]() ? "pod" : from.site === "node" ? "node" : "other";
}

/** The interface through which the node gets the packets of a client. */
function incoming(from: Place): string {
  return { node: "lo", bridge: "cbr0", link: `ptp-${from.name}`, there: "eth1", outside: "eth0" }[from.site];
}

function frontEndFor(
  decisions: readonly Decision[],
  to: Target,
  { nodePortAddresses }: FamilySettings,
): { readonly decision: Decision; readonly frontEnd: FrontEnd } | undefined {
  const candidates = decisions
    .filter(({ service }) => service.protocol === to.protocol)
    .flatMap((decision) => decision.frontEnds.map((frontEnd) => ({ decision, frontEnd })))
    .filter(({ frontEnd }) => frontEnd.port === to.port);
  const byAddress = candidates.find(({ frontEnd }) => frontEnd.kind !== "NodePort" && frontEnd.address === to.address);
  if (byAddress !== undefined) return byAddress;
  const serves =
    nodePortAddresses.kind === "all"
      ? isNodeAddress(to.address) && (nodePortAddresses.loopback || !isLoopback(to.address))
      : nodePortAddresses.addresses.includes(to.address);
  return serves ? candidates.find(({ frontEnd }) => frontEnd.kind === "NodePort") : undefined;
}

/** Only the nftables mode cares for cluster IPs on ports that no Service has, and for cluster IPs of no Service. */
function withoutFrontEnd(
  decisions: readonly Decision[],
  { address }: Target,
  mode: ModeName,
  { serviceCIDRs }: FamilySettings,
): Prediction {
  const hasAddress = ({ frontEnds }: Decision) =>
    frontEnds.some(
      (frontEnd) =>
        (frontEnd.kind === "ClusterIP" || (mode === "ipvs" && frontEnd.kind !== "NodePort")) &&
        frontEnd.address === address,
    );
  const refuses = mode === "nftables" || (mode === "ipvs" && !isNodeAddress(address));
  if (refuses && decisions.some(hasAddress)) return { kind: "reject" };
  if (mode === "nftables" && serviceCIDRs.some((prefix) => prefixContains(prefix, address))) return { kind: "drop" };
  return { kind: "ignored" };
}

/** Why a packet's way ends as it does, and what to do about it. */
import { formatHostPort } from "../../net/protocol.ts";
import type { Cluster } from "../walk/cluster.ts";
import type { Ended, Packet, Step } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import { formatNamedPort } from "./comments.ts";
import { trackedReason } from "./connection.ts";
import { type FrontEnd, Names, titleOf } from "./names.ts";
import { refusedByService, untranslated, wrongTargetPort } from "./service.ts";

/** A cause, in a sentence without a full stop. */
export interface Reason {
  readonly text: string;
  /** A command, or what to look at. */
  readonly remedy?: string;
}

/** What reasons are found with. */
export interface Context {
  readonly cluster: Cluster;
  readonly names: Names;
  /** The packet as it was asked about. */
  readonly asked: Packet;
  readonly frontEnd: FrontEnd | undefined;
}

/** Prepares the search for reasons. */
export function contextOf(cluster: Cluster, asked: Packet): Context {
  const names = new Names(cluster);
  return { cluster, names, asked, frontEnd: names.frontEnd(asked) };
}

/** Why a way ends; undefined where the packet reaches somebody. */
export function reasonOf(end: Ended, context: Context): Reason | undefined {
  const { outcome, state } = end;
  const arrived = outcome.kind === "delivered" || outcome.kind === "forwarded";
  const missing = outcome.kind === "delivered" ? undefined : untranslated(end, context);
  if (missing !== undefined) return missing;
  if (arrived) return undefined;
  const stale = trackedReason(end, context);
  if (stale !== undefined) return stale;
  const { place } = state;
  switch (outcome.kind) {
    case "rejected":
    case "dropped":
      return refusedByService(end, context) ?? byRule(end);
    case "no socket":
      return wrongTargetPort(end, context) ?? nobodyListens(end, context);
    case "no route":
      return {
        text: `${place}: ${outcome.why}`,
        remedy: outcome.remedy ?? `ip route get ${state.packet.destination}, on ${place}`,
      };
    case "forwarding off": {
      const setting = state.packet.family === "IPv4" ? "net.ipv4.ip_forward=1" : "net.ipv6.conf.all.forwarding=1";
      return { text: `${place} does not forward: ${outcome.why}`, remedy: `sysctl -w ${setting}, on ${place}` };
    }
    case "no neighbour":
      return { ...withRoute(end, outcome.why, context), ...(outcome.remedy && { remedy: outcome.remedy }) };
    case "martian":
      return {
        text: `${place} does not believe the sender's address: ${outcome.why}`,
        remedy: outcome.remedy ?? martianRemedy(outcome.why, end, context),
      };
    case "not awaited":
      return notAwaited(end) ?? { text: outcome.why };
    default:
      return { text: outcome.why, ...(outcome.remedy !== undefined && { remedy: outcome.remedy }) };
  }
}

/** The rule, or the policy, that ended it. */
function byRule({ outcome, state }: Ended): Reason {
  if (outcome.kind !== "rejected" && outcome.kind !== "dropped") throw new TypeError("no rule ended it");
  const { place } = state;
  const verb = outcome.kind === "rejected" ? `rejects it (${outcome.how})` : "drops it";
  const last = stepsOf(state).findLast((step) => step.kind === "rule" || step.kind === "policy");
  const text = `${place} ${verb}: ${outcome.by}${commentOf(last)}`;
  return { text, remedy: ruleRemedy(outcome.by, place, last) };
}

function commentOf(step: Step | undefined): string {
  return step?.kind === "rule" && step.comment !== undefined ? ` ("${step.comment}")` : "";
}

function ruleRemedy(by: string, place: string, step: Step | undefined): string {
  if (by.includes("no program listens on queue")) {
    return `start the program that decides there, on ${place}; or have the rule let packets pass without one (nft: queue flags bypass; iptables: --queue-bypass)`;
  }
  if (step === undefined || (step.kind !== "rule" && step.kind !== "policy")) return `look for ${by}, on ${place}`;
  const { family, table, chain } = step;
  const legacy = /^iptables-legacy (.+)$/.exec(table)?.[1];
  const program = family === "ip6" ? "ip6tables" : "iptables";
  if (legacy !== undefined) {
    return `${program}-legacy -t ${legacy} -S ${chain}, on ${place}: rules of iptables' old variant, which nft and ${program} (nft) do not show`;
  }
  const isIptables =
    (family === "ip" || family === "ip6") && ["filter", "nat", "mangle", "raw", "security"].includes(table);
  if (step.kind === "policy" && isIptables) {
    return `${program} -t ${table} -P ${chain} ACCEPT, or rules there that accept what pods need, on ${place}`;
  }
  return `nft -a list chain ${family} ${table} ${chain}, on ${place}; that other chains accept the packet does not help`;
}

function nobodyListens({ outcome, state }: Ended, { cluster, names }: Context): Reason {
  if (outcome.kind !== "no socket") throw new TypeError("somebody listens");
  const { address, port, protocol } = outcome.to;
  const name = protocol === 17 ? "UDP" : "TCP";
  const world = cluster.world(state.place);
  const sockets = (world?.snapshot.sockets ?? []).filter((each) => each.protocol === name);
  const local = sockets.some((each) => each.port === port);
  const ports = [...new Set(sockets.map((each) => each.port))].sort((a, b) => a - b).slice(0, 8);
  const where = world?.role === "pod" ? `pod ${state.place}` : state.place;
  const listens = ports.length === 0 ? "nobody listens on any port there" : `listening there: ${ports.join(", ")}`;
  const text = local
    ? `${where} refuses: a program listens on port ${port} there, but not on ${address}`
    : `${where} refuses: no program listens on ${name} port ${port} of ${names.withName(address)}; ${listens}`;
  const remedy = local
    ? "have the program bind to all addresses (0.0.0.0 or ::), not to localhost alone"
    : `is the server running, and is ${port} its port? ss -ltnup, in ${where}`;
  return { text, remedy };
}

function withRoute({ state }: Ended, why: string, { names, asked }: Context): Reason {
  const { way, packet } = state;
  if (way?.route === undefined || way.gateway === undefined) return { text: why };
  const node = names.nodeOf(packet.destination);
  const real = node === undefined ? undefined : names.objects?.nodes.find(({ name }) => name === node)?.addresses[0];
  const pod = names.of(packet.destination);
  const tail =
    real === undefined || real === way.gateway || pod === undefined || asked.family !== packet.family
      ? ""
      : `; ${packet.destination} is ${pod} on ${node}, which is ${real}`;
  return { text: `${why}; it is the next hop of the route to ${way.route} on ${state.place}${tail}` };
}

function martianRemedy(why: string, { state: { place, input } }: Ended, { cluster }: Context): string {
  if (/rp_filter/.test(why)) {
    // A dot within a name is a slash for sysctl.
    const device = cluster.world(place)?.linkName(input).replaceAll(".", "/") ?? "INTERFACE";
    return `sysctl -w net.ipv4.conf.${device}.rp_filter=2, on ${place} (loose; the greater value of all and the interface counts), or routes that are the same both ways`;
  }
  return "look at the sender's address, and at route_localnet where it is a loopback address";
}

/** Answers that come from the wrong address: they went past the rules that would have put the right one back. */
function notAwaited({ state }: Ended): Reason | undefined {
  const steps = stepsOf(state);
  const bridged = steps.findIndex((step) => step.kind === "link" && /past the rules of IP/.test(step.text));
  const at = steps.slice(0, bridged).findLast((step) => step.kind === "place");
  if (bridged < 0 || at?.kind !== "place") return undefined;
  const v6 = state.packet.family === "IPv6";
  const setting = `net.bridge.bridge-nf-call-ip${v6 ? "6" : ""}tables`;
  const asked = state.awaited?.asked;
  const back =
    asked?.destinationPort === undefined
      ? "the one that was asked"
      : formatHostPort(asked.destination, asked.destinationPort);
  return {
    text: `the answer goes straight over the bridge of ${at.place}, past the rules that would turn its source back into ${back} (${setting} is not 1): the one who asked does not take it for an answer`,
    remedy: `modprobe br_netfilter; sysctl -w ${setting}=1, on ${at.place}`,
  };
}

/** The Service that was asked for, as a name. */
export function askedFor({ frontEnd, asked, names }: Context): string {
  const { destination, destinationPort } = asked;
  const shown = destinationPort === undefined ? destination : formatHostPort(destination, destinationPort);
  if (frontEnd === undefined) {
    const named = names.frontEndInRules(asked);
    if (named === undefined) return names.withName(destination, destinationPort);
    return `service ${formatNamedPort(named.service)} (${named.kind} ${shown}, as rules say)`;
  }
  const { port } = frontEnd;
  return `${titleOf(frontEnd)}${port.name === "" ? "" : `:${port.name}`} (${frontEnd.kind} ${shown})`;
}

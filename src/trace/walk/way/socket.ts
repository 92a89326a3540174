/** Delivery: who listens in a place, and whether an answer is what was waited for. */
import { formatHostPort } from "../../../net/protocol.ts";
import type { Cluster } from "../cluster.ts";
import { atHook } from "../hooks.ts";
import { type Packet, protocolNumber } from "../packet.ts";
import type { Outcome, State, Target } from "../state.ts";
import type { World } from "../world.ts";
import { unwrap } from "../wrap.ts";
import { takesIpip } from "./ipip.ts";
import { end, move, type Onward } from "./onward.ts";
import { takesVxlan } from "./vxlan.ts";

/** A packet for the place itself. */
export function deliver(cluster: Cluster, world: World, state: State): Onward {
  const { inner } = state;
  if (inner !== undefined) {
    const device = takesVxlan(world, state) ?? takesIpip(world, state);
    if (device !== undefined) {
      return move(world, atHook(unwrap(world, state, inner, device), "unpacked"), "frame");
    }
    if (inner.tunnel.kind === "ipip") {
      const why = `${world.place} has no device that is up and takes IP in IP of ${state.packet.source}: it says so to the tunnel's other end (ICMP, port unreachable)`;
      return end(state, { kind: "no neighbour", why, remedy: `ip -d link show type ipip, on ${world.place}` });
    }
  }
  if (state.awaited !== undefined) return end(state, awaited(cluster, world, state, state.awaited));
  return end(state, listening(world, state));
}

/** Whether the one who asked takes an answer for what it waits for. */
function awaited(
  _: Cluster,
  world: World,
  { packet }: State,
  { place, asked }: NonNullable<State["awaited"]>,
): Outcome {
  const to = targetOf(packet);
  const expected = { source: asked.destination, port: asked.destinationPort };
  if (place !== undefined && place !== world.place) {
    return { kind: "not awaited", why: `the answer comes to ${world.place}, and ${place} waits for it` };
  }
  if (packet.source === expected.source && packet.sourcePort === expected.port) return { kind: "delivered", to };
  const [from, wanted] = [shown(packet.source, packet.sourcePort), shown(expected.source, expected.port)];
  return {
    kind: "not awaited",
    why: `the answer comes from ${from}, and ${world.place} asked ${wanted}: it is not taken for an answer`,
  };
}

/** Whether an answer that leaves all known places is what the one outside waits for. */
export function awaitedOutside({ packet }: State, { asked }: NonNullable<State["awaited"]>): Outcome | undefined {
  if (packet.source === asked.destination && packet.sourcePort === asked.destinationPort) return undefined;
  const [from, wanted] = [shown(packet.source, packet.sourcePort), shown(asked.destination, asked.destinationPort)];
  return { kind: "not awaited", why: `the answer comes from ${from}, and who asked waits for one from ${wanted}` };
}

function shown(address: Packet["source"], port: number | undefined): string {
  return port === undefined ? address : formatHostPort(address, port);
}

/** Looks for somebody who listens. */
function listening(world: World, { packet, input, proxy }: State): Outcome {
  const { destination, destinationPort, protocol, family } = packet;
  const to = targetOf(packet);
  if (proxy !== undefined) return { kind: "delivered", to: { ...to, ...proxy } };
  if (protocol === protocolNumber.icmp || protocol === protocolNumber.icmpv6) return { kind: "delivered", to };
  const name = protocol === protocolNumber.tcp ? "TCP" : protocol === protocolNumber.udp ? "UDP" : undefined;
  if (name === undefined)
    return { kind: "unknown", why: `who takes protocol ${protocol} on this node is not in the snapshot` };
  if (world.snapshot.missing.some((text) => text.startsWith("sockets:")))
    return { kind: "unknown", why: "the listening sockets are not in the snapshot" };
  const any = family === "IPv4" ? "0.0.0.0" : "::";
  if (destinationPort === undefined) return { kind: "unknown", why: "the port that it is delivered to is not known" };
  const found = world.snapshot.sockets.some(
    (socket) =>
      socket.protocol === name &&
      socket.port === destinationPort &&
      (socket.interface === undefined || socket.interface === input) &&
      (socket.address === destination ||
        socket.address === any ||
        (family === "IPv4" && socket.address === "::" && socket.onlyIPv6 === false) ||
        socket.address === `::ffff:${destination}`),
  );
  return found ? { kind: "delivered", to } : { kind: "no socket", to };
}

/** Where a packet goes, and as whose. */
export function targetOf({ destination, destinationPort, protocol, source }: Packet): Target {
  return { address: destination, ...(destinationPort !== undefined && { port: destinationPort }), protocol, source };
}

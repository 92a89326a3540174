/** What is not as it should be though packets arrive. */
import type { Walk } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import { protocolNumber } from "../walk/packet.ts";
import { titleOf } from "./names.ts";
import type { Context, Reason } from "./reason.ts";

/** Links on the way, or on the way back, at which long packets vanish. */
export function narrow({ ends }: Walk): readonly Reason[] {
  const all = ends.flatMap((end) => [end, ...(end.answers ?? [])]);
  return all.flatMap(({ state, outcome }) => {
    if (state.narrow === undefined) return [];
    const { mtu, longest, link, place } = state.narrow;
    // Whoever opens or takes a TCP connection tells the other how much its own link takes.
    const told = state.packet.protocol === protocolNumber.tcp && outcome.kind === "delivered" && place === state.place;
    if (told) return [];
    return [
      {
        text: `packets of more than ${mtu} bytes vanish at ${link}, whose MTU is ${mtu}, and nobody is told: packets of up to ${longest} come there`,
        remedy: "give both ends of the wire the same MTU, or the smaller one to all, pods included",
      },
    ];
  });
}

/** Servers that see a node where a pod of the cluster asked for a cluster IP. */
export function masqueraded({ packet, ends }: Walk, { names, frontEnd }: Context): readonly Reason[] {
  if (frontEnd?.kind !== "cluster IP" || !names.isPod(packet.source)) return [];
  return ends.flatMap(({ outcome, state }) => {
    // To itself a pod must be masqueraded, or it would not take the answer.
    if (
      outcome.kind !== "delivered" ||
      state.awaited !== undefined ||
      outcome.to.source === packet.source ||
      outcome.to.address === packet.source
    )
      return [];
    const node = stepsOf(state).find((step) => step.kind === "place" && step.role === "node");
    const where = node?.kind === "place" ? node.place : state.place;
    return [
      {
        text: `${names.of(packet.source) ?? packet.source} is seen by the pods of ${titleOf(frontEnd)} as ${names.of(outcome.to.source) ?? outcome.to.source}, not as ${packet.source}: the proxy of ${where} does not take that for the address of a pod (clusterCIDR), or masquerades all`,
        remedy: `clusterCIDR of the proxy's configuration on ${where} must be the prefix of all pods; is masqueradeAll off?`,
      },
    ];
  });
}

/**
 * Links upon other links: VLANs, macvlans, and bonds. What leaves by one leaves by the link below, whose chains and
 * programs see it, too; what comes in by that comes in by the one above (`net/8021q`, `drivers/net/macvlan.c`,
 * `drivers/net/bonding`).
 */
import type { Address } from "../../../net/address.ts";
import { type Frame, type State, withStep } from "../state.ts";
import type { End, Wiring } from "../wiring.ts";
import { transmit } from "./link.ts";
import { departed, end, move, type Onward, type Setting, together } from "./onward.ts";

/** A frame goes down from a link that is upon another one; undefined for other links, and where that is in no snapshot. */
export function downFrom(setting: Setting, from: End, state: State, nextHop: Address): Onward | undefined {
  const { world, link } = from;
  const { wiring } = setting.cluster;
  if (link.kind === "bond") {
    const all = world.ports(link.index).filter((port) => port.up && port.running);
    const active = link.details?.kind === "bond" ? link.details.active : undefined;
    const ports = active === undefined ? all : all.filter(({ index }) => index === active);
    if (ports.length === 0) return undefined;
    // Which one it is else depends on the bond's mode, and on what the frame says.
    const choice = ports.length === 1 ? "" : ` [1 of ${ports.length}]`;
    const part = { ...state, probability: state.probability / ports.length };
    return together(
      ...ports.map((port) => {
        const sent = withLink(part, `${link.name} sends the frame by ${port.name}${choice}`);
        return transmit(setting, { world, link: port }, sent, nextHop);
      }),
    );
  }
  const below = wiring.below(from);
  if (below === undefined) return undefined;
  const title = titleFrom(from, below);
  if (!below.link.up) {
    const why = `${world.linkTitle(link.index)} is on ${below.world.linkTitle(below.link.index)}, which is down`;
    return end(state, { kind: "no neighbour", why, remedy: `ip link set ${below.link.name} up` });
  }
  const to = state.frame?.to;
  const sibling = to && wiring.siblings(from).find((each) => each.link.up && each.link.mac === to);
  if (sibling !== undefined) {
    const text = `${link.name} (macvlan) hands the frame to ${titleFrom(from, sibling)}, which is on ${title} as well`;
    return move(below.world, { ...enters(from, below, withLink(state, text)), input: below.link.index }, "frame");
  }
  const tag = link.details?.kind === "vlan" ? { vlan: link.details.id } : {};
  const how = "vlan" in tag ? `VLAN ${tag.vlan}` : "macvlan";
  const sent = enters(from, below, withLink(state, `${link.name} (${how}) sends the frame by ${title}`));
  return transmit(setting, below, { ...sent, frame: { ...state.frame, ...tag } }, nextHop);
}

/** A frame that has come in by a link goes up to the one upon it that it is for; undefined where the link itself takes it. */
export function upFrom({ cluster: { wiring } }: Setting, at: End, state: State): Onward | undefined {
  const { world, link } = at;
  const { vlan, to } = state.frame ?? {};
  const master = world.link(link.master);
  const above = wiring.above(at);
  const tagged = above.find(({ link: { details } }) => details?.kind === "vlan" && details.id === vlan);
  if (tagged !== undefined) return comesUp(at, tagged, state, to === undefined ? {} : { to });
  if (master?.kind === "bond") return move(world, { ...state, input: master.index }, "frame");
  if (vlan !== undefined) {
    const title = world.linkTitle(link.index);
    if (master !== undefined) {
      return end(state, {
        kind: "unknown",
        why: `what ${master.name} does with frames of VLAN ${vlan} is not followed`,
      });
    }
    const remedy = `ip link add link ${link.name} name ${link.name}.${vlan} type vlan id ${vlan}, on ${world.place}`;
    return end(state, {
      kind: "no neighbour",
      why: `${title} gets a frame of VLAN ${vlan}, and has none of that number`,
      remedy,
    });
  }
  const macvlan = above.find(
    (each) =>
      each.link.kind === "macvlan" &&
      (to === undefined ? each.world.isOwn(state.packet.destination) : each.link.mac === to),
  );
  return macvlan === undefined ? undefined : comesUp(at, macvlan, state, state.frame);
}

function comesUp(at: End, up: End, state: State, frame: Frame | undefined): Onward {
  const title = titleFrom(at, up);
  if (!up.link.up) {
    return end(state, { kind: "no neighbour", why: `${title} is down`, remedy: `ip link set ${up.link.name} up` });
  }
  const { frame: _, ...rest } = enters(at, up, withLink(state, `up to ${title}`));
  return move(up.world, { ...rest, ...(frame !== undefined && { frame }), input: up.link.index }, "frame");
}

/** The link at which frames of the wire come in that are for a link, and the tag that they have there. */
export function bottomOf(wiring: Wiring, top: End): { readonly end: End; readonly tag: Pick<Frame, "vlan"> } {
  const { world, link } = top;
  const port = link.kind === "bond" ? world.ports(link.index).find(({ up }) => up) : undefined;
  const below = port === undefined ? wiring.below(top) : { world, link: port };
  if (below === undefined) return { end: top, tag: {} };
  const { end: bottom, tag } = bottomOf(wiring, below);
  return { end: bottom, tag: link.details?.kind === "vlan" ? { vlan: link.details.id } : tag };
}

/** Why somebody who has an address does not hear a link that asks for it: a macvlan and the link that it is on. */
export function apartFrom(
  wiring: Wiring,
  from: End,
  address: Address,
): { readonly why: string; readonly remedy: string } | undefined {
  const has = ({ world, link }: End) =>
    world.snapshot.addresses.some((each) => each.address === address && each.interface === link.index);
  const below = from.link.kind === "macvlan" ? wiring.below(from) : undefined;
  const upper = wiring.above(from).find((each) => each.link.kind === "macvlan" && has(each));
  const [macvlan, lower] = below?.world.isOwn(address) ? [from, below] : [upper, from];
  if (macvlan === undefined) return undefined;
  const [one, other] = [macvlan, lower].map(({ world, link }) => world.linkTitle(link.index));
  return {
    why: `${one} is a macvlan on ${other}: the two do not hear each other, and ${address} is on the other side`,
    remedy: `give ${lower.world.place} a macvlan of its own on ${lower.link.name}, in mode bridge, with an address and the route`,
  };
}

const withLink = (state: State, text: string): State => withStep(state, { kind: "link", text });

/** The packet in the place of another link: what the kernel keeps beside it stays behind with the namespace. */
function enters(from: End, to: End, state: State): State {
  if (from.world === to.world) return state;
  return { ...departed(state), place: to.world.place };
}

function titleFrom(from: End, { world, link }: End): string {
  return from.world === world ? link.name : world.linkTitle(link.index);
}

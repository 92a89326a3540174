/** The state of one packet on its way, and its steps so far. */
import type { Forwarding } from "../../kernel/ipvs/index.ts";
import type { Verdict } from "../../kernel/nftables/index.ts";
import type { MacAddress } from "../../kernel/route/index.ts";
import type { Address } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import type { Packet } from "./packet.ts";

/** The zones of a connection: the tracker keeps those of different zones apart. 0 is the usual one. */
export interface Zones {
  readonly original: number;
  readonly reply: number;
}

/** A connection as the tracker sees it, once it has seen the packet. */
export interface Connection {
  readonly state: "new" | "established" | "untracked";
  /** Whether the packet goes as the first one did, or is an answer. */
  readonly direction: "original" | "reply";
  /** The tracker's entry, where the packet is not the first one of its connection: translated as it says. */
  readonly entry?: TrackedFlow;
  readonly mark: number;
  /** The packet as it came in. */
  readonly original: Packet;
  /** What the answer's source, and its destination, will be: the connection as translated so far. */
  readonly destinationTranslated: boolean;
  readonly sourceTranslated: boolean;
  /** The translation of this side is settled, if only as none: chains of type nat are not asked again. */
  readonly destinationSettled: boolean;
  readonly sourceSettled: boolean;
  /** Absent for the usual ones. */
  readonly zones?: Zones;
  /** The packet has passed postrouting, and comes back in by loopback: the tracker has taken the connection down. */
  readonly confirmed: boolean;
}

/** Both directions of a connection, as they are where its packets come in. */
export interface TrackedFlow {
  readonly original: Tuple;
  readonly reply: Tuple;
}

/** One direction of a connection. Ports that are not known are absent. */
export interface Tuple {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** A connection that the tracker of a place took down when a packet of this walk passed. */
export interface Tracked extends TrackedFlow {
  readonly place: string;
  readonly mark: number;
  /** Absent for the usual ones. */
  readonly zones?: Zones;
  /** An answer has passed, too: further packets are of state `established`. */
  readonly answered?: true;
  /** It is in the snapshot as well. */
  readonly real?: true;
  /** Its packet is a tunnel's: answers to what it carries are other connections. */
  readonly carries?: true;
}

/** A connection that IPVS of a place sends elsewhere: answers from there get the address that was asked. */
export interface BalancedFlow {
  readonly place: string;
  readonly asked: Tuple;
  readonly answering: { readonly address: Address; readonly port?: number };
}

/** What a packet on a link has beside itself. */
export interface Frame {
  /** The receiver's hardware address; absent where it is not known whom the sender took for it. */
  readonly to?: MacAddress;
  /** The VLAN of its tag. */
  readonly vlan?: number;
}

/** Where packets are lost for their length, and nobody is told. */
export interface Narrow {
  readonly mtu: number;
  /** The longest packet that comes there. */
  readonly longest: number;
  /** `node2 eth0`, and the place alone. */
  readonly link: string;
  readonly place: string;
}

/** Where a route leads. */
export interface Way {
  readonly kind: "local" | "forward" | "output";
  /** The index of the interface that the packet leaves by. */
  readonly output?: number;
  /** The router there; absent where the destination is on the link. */
  readonly gateway?: Address;
  /** The longest packet that may go this way, in bytes, where the route says so. */
  readonly mtu?: number;
  /** The prefix of the route. */
  readonly route?: Prefix;
  /** The index of the bridge's port, where {@link output} is a bridge that passes the packet on. */
  readonly port?: number;
}

/** Something that happened to the packet. */
export type Step =
  /** The packet comes to a place, or begins there. */
  | { readonly kind: "place"; readonly place: string; readonly role: PlaceRole }
  /** A connection tracker knows the connection; `real`: from the snapshot, and not from this walk's own packets. */
  | {
      readonly kind: "tracked";
      readonly direction: Connection["direction"];
      readonly original: Tuple;
      readonly reply: Tuple;
      readonly real: boolean;
    }
  /** It goes over a link, a bridge or a tunnel. */
  | { readonly kind: "link"; readonly text: string }
  /** A hook begins, or a part of the way that has none; with the packet as it is there. */
  | { readonly kind: "hook"; readonly text: string; readonly packet: Packet }
  /** A rule matched. */
  | {
      readonly kind: "rule";
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly handle?: number;
      /** Its place in the chain, from 1. */
      readonly number: number;
      readonly verdict: Verdict;
      readonly comment?: string;
      /** What it did, in words. */
      readonly effects: readonly string[];
      /** How it was chosen where the kernel chooses at random, e.g. `1 of 3`. */
      readonly choice?: string;
    }
  /** A rule was looked at and did not match; only where every rule is wanted. */
  | {
      readonly kind: "miss";
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly number: number;
      readonly why: string;
    }
  /** The end of a base chain. */
  | {
      readonly kind: "policy";
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly verdict: "accept" | "drop";
    }
  /** The packet's header changed. */
  | { readonly kind: "rewrite"; readonly text: string }
  /** The routing table was asked. */
  | { readonly kind: "route"; readonly text: string }
  /** What cannot be told from here, and what is taken for granted on this branch. */
  | { readonly kind: "assumption"; readonly text: string }
  /** Anything else worth knowing. */
  | { readonly kind: "note"; readonly text: string };

/** What a place is. */
export type PlaceRole = "node" | "pod" | "other";

/** How a packet's way ends. {@link State.place} says where. */
export type Outcome =
  | { readonly kind: "delivered"; readonly to: Target; readonly interface?: string }
  /** It leaves all places that are known. */
  | { readonly kind: "forwarded"; readonly to: Target; readonly interface: string; readonly gateway?: Address }
  | { readonly kind: "rejected"; readonly by: string; readonly how: string }
  | { readonly kind: "dropped"; readonly by: string }
  | { readonly kind: "no socket"; readonly to: Target }
  | {
      readonly kind:
        | "no route"
        | "martian"
        | "forwarding off"
        /** Nobody takes the frame: no answer to ARP, a wrong hardware address, a link that is down. */
        | "no neighbour"
        /** A bridge does not let it out. */
        | "not bridged"
        | "too long"
        /** It went in a circle, or its time to live was used up. */
        | "loop"
        /** An answer that comes to the one who asked, but not from where it was asked for. */
        | "not awaited"
        | "unknown";
      readonly why: string;
      /** A command, or what to look at. */
      readonly remedy?: string;
    };

/** Where a packet ended, and from whom it says that it is. */
export interface Target {
  readonly address: Address;
  readonly port?: number;
  readonly protocol: number;
  readonly source: Address;
}

/** Steps, the last first: branches share what came before them. */
export interface Trail {
  readonly step: Step;
  readonly before: Trail | undefined;
}

/** A packet somewhere on its way. */
export interface State {
  readonly packet: Packet;
  /** The name of the place that it is in. */
  readonly place: string;
  /** While it is on a link or a bridge. */
  readonly frame?: Frame;
  /** Connections that trackers on the way have taken down. */
  readonly tracked: readonly Tracked[];
  /** Routers that it has passed. */
  readonly routers: number;
  /** Links, tunnels and places that it has passed, whatever it is carried in. */
  readonly moves: number;
  /** What it carries, where it is a tunnel's. */
  readonly inner?: Inner;
  /** The longest packet that can have come so far: no link that it left by takes more, and routers say so. */
  readonly widest?: number;
  readonly narrow?: Narrow;
  /** An answer: to whom it must come, and as what. */
  readonly awaited?: Awaited;
  /** It comes after the handshake of its connection: of TCP's flags it has ACK alone. */
  readonly midst?: true;
  /** Where a rule has said in which zones the tracker, which has not seen it yet, will look for its connection. */
  readonly zones?: Zones;
  /** Absent before the tracker has seen it. */
  readonly connection?: Connection;
  /** The index of the interface that it came in by; absent for packets of this machine. */
  readonly input?: number;
  /** The index of the bridge's port, where {@link input} is a bridge. */
  readonly port?: number;
  readonly way?: Way;
  /** The virtual service by which IPVS took the packet, which it does once. */
  readonly balanced?: { readonly address: Address; readonly port: number; readonly forwarding: Forwarding };
  /** What IPVS of some place has translated, to be translated back in answers. */
  readonly balancedFlows?: readonly BalancedFlow[];
  /** The socket of this node that a rule handed it to, whatever its destination. */
  readonly proxy?: { readonly address: Address; readonly port: number };
  /** Sets that a rule added to, of which nothing more is known. */
  readonly touched: readonly string[];
  readonly traced: boolean;
  /** Never joined with others, however equal. */
  readonly apart: boolean;
  /** The part of all random choices that leads here, 0 to 1, given the assumptions. */
  readonly probability: number;
  readonly assumptions: readonly string[];
  readonly trail: Trail | undefined;
}

/** What a tunnel's packet carries: a frame in a VXLAN, by its network identifier, or a packet, with IP in IP. */
export interface Inner {
  readonly tunnel: { readonly kind: "vxlan"; readonly vni: number } | { readonly kind: "ipip" };
  readonly state: State;
}

/** The question that an answer is for. */
export interface Awaited {
  readonly place?: string;
  /** The packet as the one who asked sent it. */
  readonly asked: Packet;
}

/** A packet whose way has ended. */
export interface Ended {
  readonly state: State;
  readonly outcome: Outcome;
  /** The place then sends a packet like it itself, which is followed in its stead. */
  readonly again?: true;
  /** The ways of the answer, where it was followed. */
  readonly answers?: readonly Ended[];
}

/** The state after one more step. */
export function withStep(state: State, ...steps: readonly Step[]): State {
  let { trail } = state;
  for (const step of steps) trail = { step, before: trail };
  return { ...state, trail };
}

/** What a packet takes with it to another place, or into a tunnel: nothing of what the kernel of this place keeps beside it. */
export function withoutPlace(state: State): State {
  const { connection: _c, zones: _z, input: _i, port: _p, way: _w, balanced: _b, proxy: _x, ...rest } = state;
  return rest;
}

/** The state on a branch that takes something for granted. */
export function assuming(state: State, text: string): State {
  if (state.assumptions.includes(text)) return state;
  return { ...withStep(state, { kind: "assumption", text }), assumptions: [...state.assumptions, text] };
}

/** The steps of a state, the first first. */
export function stepsOf(state: State): readonly Step[] {
  const steps: Step[] = [];
  for (let at = state.trail; at !== undefined; at = at.before) steps.push(at.step);
  return steps.reverse();
}

/** Changes of links, addresses, routes, rules and neighbours, as the kernel reports them. */
import { type MessageReader, NetlinkListener, protocols } from "../netlink/index.ts";
import { decodeAddress, type InterfaceAddress } from "./addresses.ts";
import { messageType } from "./constants.ts";
import { decodeLink, type Link } from "./links.ts";
import { decodeFdbEntry, decodeNeighbour, type FdbEntry, type Neighbour } from "./neighbours.ts";
import { decodeRoute, type Route } from "./routes.ts";
import { decodeRule, type Rule } from "./rules.ts";

/** What happened: something is there (new or changed) or gone. */
export type RouteEvent =
  | { readonly kind: "link"; readonly change: Change; readonly link: Link }
  | { readonly kind: "address"; readonly change: Change; readonly address: InterfaceAddress }
  | { readonly kind: "route"; readonly change: Change; readonly route: Route }
  | { readonly kind: "rule"; readonly change: Change; readonly rule: Rule }
  | { readonly kind: "neighbour"; readonly change: Change; readonly neighbour: Neighbour }
  | { readonly kind: "fdb"; readonly change: Change; readonly entry: FdbEntry }
  /** Events were lost: read everything again. */
  | { readonly kind: "overrun" };

/** The two ways of changing. */
export type Change = "present" | "gone";

/** What can be watched, with its multicast groups (`RTNLGRP_*`). */
const groups = { links: [1], addresses: [5, 9], routes: [7, 11], rules: [8, 19], neighbours: [3] } as const;
export type RouteTopic = keyof typeof groups;

/**
 * Watches what happens in the network namespace in which it is made. Events are queued from the constructor on: make it
 * before reading the state that it shall keep up to date.
 */
export class RouteMonitor implements Disposable {
  readonly #listener: NetlinkListener;

  /** @throws {SystemError} if the kernel refuses. */
  constructor(topics: readonly RouteTopic[]) {
    this.#listener = new NetlinkListener(
      protocols.route,
      topics.flatMap((topic) => groups[topic]),
    );
  }

  /** Waits for events, one after the other, until the signal aborts: then the loop ends without an error. */
  async *events(signal: AbortSignal): AsyncGenerator<RouteEvent, void, undefined> {
    for await (const event of this.#listener.events(signal)) {
      if (event.kind === "overrun") {
        yield event;
        continue;
      }
      const decoded: RouteEvent[] = [];
      while (event.messages.next()) {
        const one = decodeEvent(event.messages);
        if (one !== undefined) decoded.push(one);
      }
      yield* decoded;
    }
  }

  /** Ends it. Closing again does nothing. */
  close(): void {
    this.#listener.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Reads an event; undefined for those about other things. @throws {NetlinkFormatError} if it is malformed. */
export function decodeEvent(message: MessageReader): RouteEvent | undefined {
  switch (message.type) {
    case messageType.newLink:
    case messageType.deleteLink: {
      // Bridges report changes of their ports, and ports that leave, as links of the family of bridges.
      if (message.u8(0) !== 0) return undefined;
      return { kind: "link", change: changeOf(message, messageType.newLink), link: decodeLink(message) };
    }
    case messageType.newAddress:
    case messageType.deleteAddress: {
      const address = decodeAddress(message);
      return address && { kind: "address", change: changeOf(message, messageType.newAddress), address };
    }
    case messageType.newRoute:
    case messageType.deleteRoute: {
      const route = decodeRoute(message);
      return route && { kind: "route", change: changeOf(message, messageType.newRoute), route };
    }
    case messageType.newRule:
    case messageType.deleteRule: {
      const rule = decodeRule(message);
      return rule && { kind: "rule", change: changeOf(message, messageType.newRule), rule };
    }
    case messageType.newNeighbour:
    case messageType.deleteNeighbour: {
      const change = changeOf(message, messageType.newNeighbour);
      const entry = decodeFdbEntry(message);
      if (entry !== undefined) return { kind: "fdb", change, entry };
      const neighbour = decodeNeighbour(message);
      return neighbour && { kind: "neighbour", change, neighbour };
    }
    default:
      return undefined;
  }
}

function changeOf(message: MessageReader, present: number): Change {
  return message.type === present ? "present" : "gone";
}

/** Small snapshots for tests, and the parts that they are made of. */
import type { InterfaceAddress, Link, Route } from "../../kernel/route/index.ts";
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import type { Snapshot } from "./types.ts";

/** An Ethernet link that is up. */
export function linkOf(index: number, name: string, more: Partial<Link> = {}): Link {
  const state = { loopback: false, up: true, running: true, noArp: false, operState: "up", mtu: 1500 } as const;
  return { index, name, hardware: 1, ...state, ...more };
}

/** An address of the second link, in a network of 24 bits. */
export function addressOf(text: string): InterfaceAddress {
  const address = parseAddress(text);
  const flags = { secondary: false, tentative: false, duplicate: false, deprecated: false, permanent: true } as const;
  return { interface: 2, address, prefixLength: 24, scope: 0, ...flags };
}

/** A route to an address or network. */
export function routeOf(destination: string, more: Partial<Route> = {}): Route {
  const rest = { type: "unicast", table: 254, protocol: 2, scope: 0, priority: 0, tos: 0, nextHops: [] } as const;
  return { destination: parsePrefix(destination), ...rest, ...more };
}

/** A route to an address of the place itself. */
export const localRoute = (destination: string): Route =>
  routeOf(destination, { type: "local", table: 255, scope: 254, nextHops: [hopBy(2)] });

/** A next hop by a link. */
export function hopBy(index: number, gateway?: string): Route["nextHops"][number] {
  const hop = { interface: index, weight: 1, onLink: false, dead: false, linkDown: false } as const;
  return gateway === undefined ? hop : { ...hop, gateway: parseAddress(gateway) };
}

const lookup = (priority: number, table: number) =>
  ({ family: "IPv4", priority, action: { kind: "lookup", table }, invert: false, vrf: false }) as const;

/** A node with one link and one address, and no rules. */
export const emptySnapshot: Snapshot = {
  schemaVersion: 1,
  name: "node",
  time: "2026-01-01T00:00:00.000Z",
  kernel: "6.18.0",
  links: [linkOf(1, "lo", { hardware: 772, loopback: true, operState: "unknown" }), linkOf(2, "eth0")],
  addresses: [addressOf("10.0.0.1")],
  neighbours: [],
  fdb: [],
  rules: [lookup(0, 255), lookup(32_766, 254)],
  routes: [localRoute("10.0.0.1/32")],
  sysctls: { "net/ipv4/ip_forward": "1" },
  nftables: { generation: 1, consistent: true, tables: [], chains: [], rules: [], sets: [], objects: [] },
  iptables: [],
  ipsets: [],
  conntrack: [],
  sockets: [],
  missing: [],
};

/** A small snapshot for tests: a node with one link and one address, and no rules. */
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import type { Snapshot } from "./types.ts";

const link = { running: true, noArp: false, up: true, mtu: 1500 } as const;
const lookup = (priority: number, table: number) =>
  ({ family: "IPv4", priority, action: { kind: "lookup", table }, invert: false, vrf: false }) as const;

/** The snapshot. */
export const emptySnapshot: Snapshot = {
  schemaVersion: 1,
  name: "node",
  time: "2026-01-01T00:00:00.000Z",
  kernel: "6.18.0",
  links: [
    { ...link, index: 1, name: "lo", hardware: 772, loopback: true, operState: "unknown" },
    { ...link, index: 2, name: "eth0", hardware: 1, loopback: false, operState: "up" },
  ],
  addresses: [
    {
      interface: 2,
      address: parseAddress("10.0.0.1"),
      prefixLength: 24,
      scope: 0,
      secondary: false,
      tentative: false,
      duplicate: false,
      deprecated: false,
      permanent: true,
    },
  ],
  neighbours: [],
  fdb: [],
  rules: [lookup(0, 255), lookup(32_766, 254)],
  routes: [
    {
      type: "local",
      destination: parsePrefix("10.0.0.1/32"),
      table: 255,
      protocol: 2,
      scope: 254,
      priority: 0,
      tos: 0,
      nextHops: [{ interface: 2, weight: 1, onLink: false, dead: false, linkDown: false }],
    },
  ],
  sysctls: { "net/ipv4/ip_forward": "1" },
  nftables: { generation: 1, consistent: true, tables: [], chains: [], rules: [], sets: [], objects: [] },
  iptables: [],
  ipsets: [],
  conntrack: [],
  sockets: [],
  missing: [],
};

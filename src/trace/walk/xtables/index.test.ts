import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../../../net/address.ts";
import type { Packet } from "../packet.ts";
import type { State } from "../state.ts";
import type { World } from "../world.ts";
import { evaluateMatch, readTarget } from "./index.ts";

const addresses = {
  IPv4: { source: parseAddress("10.1.0.2"), destination: parseAddress("10.2.0.2") },
  IPv6: { source: parseAddress("fd01::2"), destination: parseAddress("fd02::2") },
} as const;

const world = {
  snapshot: { ipsets: [], sockets: [], addresses: [] },
  linkName: () => "eth0",
  link: () => undefined,
  sysctl: () => "1",
  routing: { find: () => ({ kind: "none", why: "" }), local: () => undefined },
} as unknown as World;

const matchNames =
  "tcp udp udplite sctp dccp esp ah mh multiport icmp icmp6 ttl hl dscp tos ecn length frag rt u32 addrtype iprange mac pkttype physdev rpfilter set conntrack state mark connmark helper owner cgroup socket ipvs comment nfacct statistic recent limit hashlimit connlimit quota string bpf time policy nobody";
const targetNames =
  "MARK CONNMARK CT NOTRACK TRACE REJECT CLASSIFY DSCP TOS TTL HL NFQUEUE SET TPROXY DNAT SNAT MASQUERADE REDIRECT NETMAP LOG TEE NOBODY";

test("no bytes make a match or a target fail", () => {
  const info = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ minLength: 1982, maxLength: 1984 }),
    fc.constantFrom(4, 40, 164, 300, 1984).map((length) => new Uint8Array(length).fill(255)),
  );
  const packet = fc
    .record({
      family: fc.constantFrom("IPv4" as const, "IPv6" as const),
      protocol: fc.constantFrom(1, 6, 17, 58, 132),
      ports: fc.boolean(),
    })
    .map(
      ({ family, protocol, ports }): Packet => ({
        family,
        ...addresses[family],
        protocol,
        mark: 1,
        priority: 0,
        ...(ports && { sourcePort: 1, destinationPort: 80 }),
      }),
    );
  const original = { family: "IPv4", ...addresses.IPv4, protocol: 6, mark: 0, priority: 0 } as const;
  const connection = { state: "new", direction: "original", mark: 3, original } as const;
  fc.assert(
    fc.property(
      fc.constantFrom(...matchNames.split(" "), ...targetNames.split(" ")),
      fc.nat(4),
      info,
      packet,
      fc.boolean(),
      (name, revision, bytes, seen, isTracked) => {
        const state = { packet: seen, touched: [], tracked: [], ...(isTracked && { connection }), input: 2, port: 3 };
        const all = { state: state as unknown as State, world, where: { family: "ip", hook: "forward" } } as const;
        const { kind } = evaluateMatch({ kind: "match", name, revision, info: bytes }, all);
        assert.ok(["known", "random", "depends"].includes(kind));
        assert.equal(typeof readTarget({ kind: "target", name, revision, info: bytes }, all).kind, "string");
      },
    ),
    { numRuns: 3000 },
  );
});

test("matches of ebtables are not taken for those of iptables that have the same names", () => {
  const state = { packet: { family: "IPv4", ...addresses.IPv4, protocol: 6, mark: 0, priority: 0 }, touched: [] };
  const asked = { kind: "match", name: "pkttype", revision: 0, info: new Uint8Array(8) } as const;
  const at = (family: "ip" | "bridge") =>
    evaluateMatch(asked, { state: state as unknown as State, world, where: { family, hook: "forward" } }).kind;
  assert.deepEqual([at("ip"), at("bridge")], ["known", "depends"]);
});

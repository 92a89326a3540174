/**
 * The walk against the kernel on a node that our own modes serve: for the objects of every flow file, packets of all
 * places to all targets. PORTOLAN_TRACE_SEED repeats what a run printed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { type Address, familyOf, isLoopback } from "../../src/net/address.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import type { ModeFactory } from "../../src/proxy/modes/mode.ts";
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { userspace } from "../../src/proxy/modes/userspace/index.ts";
import { Tracing } from "../../src/trace/verify/tracing.ts";
import { Cast } from "../flows/cast.ts";
import { desiredOf } from "../flows/desired.ts";
import { type FlowFile, loadFlowFiles, type Row } from "../flows/format.ts";
import { addressOf, type Place, places } from "../flows/places.ts";
import { Tally } from "./agreement.ts";
import { captureUntraced, everyFirstPacket, type Shot, shoot } from "./arena.ts";
import { Random } from "./grammar.ts";
import { lockOfOurOwn } from "./support.ts";

const seed = Number(process.env.PORTOLAN_TRACE_SEED ?? Date.now() % 1_000_000);
lockOfOurOwn();

const factories: readonly (readonly [string, ModeFactory])[] = [
  ["nftables", nftables],
  ["iptables with iptables-nft", iptablesFactory("nft")],
  ["iptables with iptables-legacy", iptablesFactory("legacy")],
  ["userspace", userspace],
];

const totals = { pairs: 0, depends: 0 };

for (const [label, factory] of factories) {
  test(`${label}: every flow file`, async (context) => {
    using cast = new Cast(`walks-${label.replaceAll(/\W/g, "")}`);
    enterNamespace(cast.node.namespace);
    const mode = await factory.create();
    const tally = new Tally();
    using tracing = new Tracing(undefined, ...everyFirstPacket());
    try {
      for (const [i, file] of loadFlowFiles().entries()) {
        const random = new Random(seed * 1_000_003 + i);
        await mode.replace(desiredOf(file, factory.name), context.signal);
        cast.forgetConnections();
        // Where clients are remembered, each packet meets what the one before it has left.
        const alone = file.id.startsWith("affinity");
        const shots = shotsOf(cast, file, random).slice(0, alone ? 10 : undefined);
        const together = alone ? 1 : shots.length;
        for (let at = 0; at < shots.length; at += together) {
          const snapshot = await captureUntraced();
          tally.hold(snapshot, shoot(cast.node, tracing, shots.slice(at, at + together)), file.id);
        }
      }
    } finally {
      mode.close();
    }
    context.diagnostic(`seed ${seed}: ${tally}`);
    totals.pairs += tally.pairs;
    totals.depends += tally.depends;
    assert.deepEqual(
      tally.reasons.filter((each) => !/too many/.test(each)),
      [],
    );
  });
}

test("less than one in a hundred of them depends on something", (context) => {
  const share = (100 * totals.depends) / totals.pairs;
  context.diagnostic(`${totals.pairs} pairs, ${share.toFixed(2)} % depend on something`);
  assert.ok(share < 1);
});

/** The rows of a file, and as many other pairs of a place and a target, or something near one. */
function shotsOf(cast: Cast, file: FlowFile, random: Random): readonly Shot[] {
  // What is sent to loopback stays with its sender.
  const sendable = (from: Place, to: Address) => from.site === "node" || !isLoopback(to);
  const rows = file.rows.filter(({ from, to }) => to.protocol !== "SCTP" && sendable(from, to.address));
  const [some] = rows;
  if (some === undefined) return [];
  const everybody = [...places.values()];
  // A walk that keeps thousands of ways apart takes its time.
  const many = file.slices.some(({ endpoints }) => endpoints.length > 100);
  const others = Array.from({ length: many ? 0 : 15 }, () => {
    const { to } = random.of(...rows);
    const port = random.percent(80) ? to.port : to.port + 1;
    const protocol = random.percent(70) ? to.protocol : random.of("TCP", "UDP");
    const from = random.of(...everybody.filter((each) => sendable(each, to.address)));
    return shotOf(cast, from, to.address, protocol === "SCTP" ? "TCP" : protocol, port);
  });
  return [
    ...(many ? rows.slice(0, 1) : rows).map(({ from, to }: Row) =>
      shotOf(cast, from, to.address, to.protocol === "UDP" ? "UDP" : "TCP", to.port),
    ),
    ...others,
  ];
}

function shotOf(cast: Cast, from: Place, to: Address, protocol: "TCP" | "UDP", port: number): Shot {
  const input = {
    node: undefined,
    bridge: `veth-${from.name}`,
    link: `ptp-${from.name}`,
    there: "eth1",
    outside: "eth0",
  }[from.site];
  const host = cast.hostOf(from);
  return {
    ...(input !== undefined && { from: { host, input, address: addressOf(from, familyOf(to)) } }),
    to,
    protocol,
    port,
  };
}

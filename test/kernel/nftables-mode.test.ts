/** What is particular to the nftables mode; what all modes have to do stands in test/flows. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { after, beforeEach, test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import { openNftables, readGeneration } from "../../src/kernel/nftables/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import type { Desired, Drift } from "../../src/proxy/modes/mode.ts";
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { NftablesMode } from "../../src/proxy/modes/nftables/mode.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { clusterIPOutcomes, externalLocalOutcomes } from "../../src/service/outcomes.ts";
import type { FamilySettings } from "../../src/service/settings.ts";

// This process gets a network namespace of its own, which goes with it.
ffi.unshare(ffi.CLONE.newnet);
const mode = new NftablesMode();
after(() => mode.close());
beforeEach(() => nft("flush", "ruleset"));

function nft(...args: readonly string[]): string {
  return execFileSync("nft", [...args], { encoding: "utf8", maxBuffer: 1 << 28 });
}

const rules = { masqueradeAll: false, detector: true };

function service(i: number, endpoints: number, change: Partial<Decision> = {}): Decision {
  const cluster = Array.from({ length: endpoints }, (_, n) => ({
    address: parseAddress(`10.244.${i}.${n + 1}`),
    port: 8080,
    local: n === 0,
  }));
  return {
    service: { namespace: "shop", name: `web-${i}`, port: "http", protocol: "TCP" },
    family: "IPv4",
    frontEnds: [
      {
        kind: "ClusterIP",
        address: parseAddress(`10.96.0.${i}`),
        port: 80,
        outcomes: clusterIPOutcomes("cluster", rules),
      },
      { kind: "NodePort", port: 30000 + i, outcomes: externalLocalOutcomes(true, rules) },
      {
        kind: "LoadBalancerIP",
        address: parseAddress(`203.0.113.${i}`),
        port: 80,
        outcomes: externalLocalOutcomes(true, rules),
        sources: [parsePrefix("198.51.100.0/24"), parsePrefix("198.51.100.128/25"), parsePrefix("192.0.2.1/32")],
      },
    ],
    cluster,
    local: cluster.slice(0, 1),
    affinitySeconds: 0,
    ...change,
  };
}

const everything: FamilySettings = {
  detector: { kind: "prefixes", prefixes: [parsePrefix("10.244.0.0/16")] },
  nodePortAddresses: { kind: "addresses", addresses: [parseAddress("192.0.2.1")] },
  serviceCIDRs: [parsePrefix("10.96.0.0/16"), parsePrefix("10.97.0.0/16"), parsePrefix("10.96.128.0/17")],
};

function desired(decisions: readonly Decision[], IPv4: FamilySettings = everything): Desired {
  const settings = { masqueradeBit: 14, families: { IPv4 } };
  return { settings, decisions: new Map(decisions.map((made) => [decisionKey(made.service, made.family), made])) };
}

const three = [service(1, 3), service(2, 20, { affinitySeconds: 600 }), service(3, 1, { affinitySeconds: 10_800 })];

/** The listing without what packets leave in it. */
function listing(): string {
  return nft("list", "ruleset").replaceAll(/ expires \S+/g, "");
}

test("the table reads well in nft, and nft can load what it lists", async () => {
  await mode.replace(desired(three));
  const text = listing();
  for (const line of [
    'comment "Portolan service proxy"',
    "type ipv4_addr . inet_proto . inet_service : classid",
    "typeof meta priority . numgen random mod 2 : ip daddr . th dport",
    '10.96.0.1 . tcp . 80 comment "shop/web-1:http" : ',
    "meta priority set ip daddr . meta l4proto . th dport map @front-ends goto front-end",
    "dnat ip to meta priority . numgen random mod 4 map @endpoints",
    "ip saddr . ip daddr @hairpin masquerade fully-random",
    "elements = { 10.96.0.0/16, 10.97.0.0/16 }",
  ]) {
    assert.ok(text.includes(line), `no "${line}" in:\n${text}`);
  }
  assert.doesNotThrow(() => JSON.parse(nft("-j", "list", "ruleset")));
  nft("flush", "ruleset");
  execFileSync("nft", ["-f", "-"], { input: text });
  assert.equal(listing(), text);
});

test("the number of chains and rules does not depend on services and endpoints", async () => {
  const count = () => {
    const { nftables: objects } = JSON.parse(nft("-j", "list", "ruleset")) as { nftables: readonly object[] };
    return objects.filter((object) => "chain" in object || "rule" in object).length;
  };
  await mode.replace(desired([service(1, 1)]));
  const few = count();
  await mode.replace(desired(Array.from({ length: 200 }, (_, i) => service(i + 1, 1 + (i % 40)))));
  assert.equal(count(), few);
});

test("a table of the same name that somebody else made is left alone, with an error that says what to do", async () => {
  nft("add", "table", "ip", "portolan");
  nft("add", "chain", "ip", "portolan", "mine");
  const before = listing();
  await assert.rejects(
    mode.replace(desired(three)),
    /table ip portolan was not made by Portolan.*nft delete table ip portolan/,
  );
  await assert.rejects(nftables.cleanup(), /was not made by Portolan/);
  assert.equal(listing(), before);
});

test("where one family's table is somebody else's, the other family's is not touched either", async () => {
  nft("add", "table", "ip6", "portolan");
  const before = listing();
  const { settings, decisions } = desired(three);
  const both = { ...settings, families: { ...settings.families, IPv6: { ...everything, serviceCIDRs: [] } } };
  await assert.rejects(mode.replace({ settings: both, decisions }), /table ip6 portolan was not made by Portolan/);
  assert.equal(listing(), before);
});

test("where nothing differs nothing is written, so that another proxy of this node sees no interference", async () => {
  await mode.replace(desired(three));
  using socket = openNftables();
  const { id } = readGeneration(socket);
  await mode.replace(desired(three));
  assert.equal(readGeneration(socket).id, id);
});

test("whatever is wrong with the table, it is as decided after a replacement", async () => {
  await mode.replace(desired(three));
  const right = listing();
  const damages = [
    ["flush", "table", "ip", "portolan"],
    ["delete", "table", "ip", "portolan"],
    ["delete", "element", "ip", "portolan", "front-ends", "{ 10.96.0.1 . tcp . 80 }"],
    ["add", "element", "ip", "portolan", "cluster-ips", "{ 10.96.7.7 }"],
    ["flush", "map", "ip", "portolan", "endpoints"],
    ["add", "element", "ip", "portolan", "allowed-sources", "{ 10.96.7.7 . tcp . 80 . 10.0.0.0/8 }"],
    ["add", "rule", "ip", "portolan", "services", "counter", "drop"],
    ["insert", "rule", "ip", "portolan", "pick-4", "drop"],
    ["add", "chain", "ip", "portolan", "extra", "{ type filter hook input priority 0; }"],
    ["add", "set", "ip", "portolan", "extra", "{ type ipv4_addr; }"],
    ["flush", "chain", "ip", "portolan", "nat-postrouting"],
    ["chain", "ip", "portolan", "nat-postrouting", "{ policy drop; }"],
    ["add", "table", "ip", "portolan", "{ flags dormant; }"],
  ];
  for (const damage of damages) {
    nft(...damage);
    const drifts = await mode.audit();
    assert.notDeepEqual(drifts, [], `${damage.join(" ")} is not noticed`);
    await mode.replace(desired(three));
    assert.deepEqual(await mode.audit(), [], damage.join(" "));
    assert.equal(listing().length, right.length, damage.join(" "));
  }
});

test("a table of another make is replaced whole", async () => {
  await mode.replace(desired(three));
  nft("delete", "table", "ip", "portolan");
  nft("add", "table", "ip", "portolan", '{ comment "Portolan service proxy"; }');
  nft("add", "map", "ip", "portolan", "front-ends", "{ type ipv4_addr : mark; }");
  nft("add", "chain", "ip", "portolan", "nat-output", "{ type filter hook input priority 5; }");
  await mode.replace(desired(three));
  assert.deepEqual(await mode.audit(), []);
});

test("a new process changes nothing of what an earlier one left, and remembers its clients", async () => {
  await mode.replace(desired(three));
  await mode.apply(new Map([[decisionKey(three[0]?.service ?? service(1, 1).service, "IPv4"), service(1, 5)]]));
  nft("add", "element", "ip", "portolan", "affinity-600", "{ 198.51.100.7 . 0:2000 timeout 500s : 0:2001 }");
  const before = listing().replaceAll(/__(set|map)\d+/g, "");
  const successor = new NftablesMode();
  await successor.replace(desired([service(1, 5), ...three.slice(1)]));
  successor.close();
  assert.equal(listing().replaceAll(/__(set|map)\d+/g, ""), before);
});

test("affinity timeouts come and go with the services that use them", async () => {
  await mode.replace(desired([service(1, 3)]));
  assert.ok(!listing().includes("affinity-90"));
  await mode.apply(new Map([["a IPv4", service(4, 2, { affinitySeconds: 90 })]]));
  assert.match(listing(), /meta priority @affinity-pools-90 goto affinity-90/);
  await mode.apply(new Map([["b IPv4", service(5, 2, { affinitySeconds: 90 })]]));
  await mode.apply(new Map([["a IPv4", undefined]]));
  assert.match(listing(), /meta priority @affinity-pools-90 goto affinity-90/);
  assert.deepEqual(await mode.audit(), []);
  await mode.apply(new Map([["b IPv4", service(5, 2, { affinitySeconds: 91 })]]));
  assert.doesNotMatch(listing(), /affinity-(pools-)?90/);
  assert.match(listing(), /meta priority @affinity-pools-91 goto affinity-91/);
  assert.deepEqual(await mode.audit(), []);
  await mode.replace(desired([service(1, 3)]));
  assert.doesNotMatch(listing(), /affinity-(pools-)?9/);
});

test("what somebody else changes is told at once, and who did it; what we change is not", async () => {
  const stop = new AbortController();
  const drifts: Drift[] = [];
  let told = Promise.withResolvers<void>();
  await mode.replace(desired(three));
  mode.watch((drift) => {
    drifts.push(drift);
    told.resolve();
  }, stop.signal);
  await mode.apply(new Map([["b", service(5, 7)]]));
  nft("add", "table", "ip", "other");
  for (const [damage, what] of [
    [
      ["delete", "element", "ip", "portolan", "cluster-ips", "{ 10.96.0.1 }"],
      /^elements ip portolan cluster-ips removed, by process \d+ \(nft\)$/,
    ],
    [
      ["add", "rule", "ip", "portolan", "services", "drop"],
      /^rule ip portolan services added, by process \d+ \(nft\)$/,
    ],
    [["delete", "table", "ip", "portolan"], /portolan.* removed and \d+ more, by process \d+ \(nft\)$/],
  ] as const) {
    told = Promise.withResolvers<void>();
    nft(...damage);
    await told.promise;
    assert.match(drifts.at(-1)?.what ?? "", what);
  }
  assert.equal(drifts.length, 3);
  stop.abort();
});

test("a family that is no longer served loses its table, cleanup removes all of them and nothing else", async () => {
  nft("add", "table", "ip", "other");
  const both = desired(three);
  await mode.replace({
    ...both,
    settings: {
      ...both.settings,
      families: {
        ...both.settings.families,
        IPv6: {
          ...everything,
          detector: { kind: "none" },
          nodePortAddresses: { kind: "all", loopback: false },
          serviceCIDRs: [],
        },
      },
    },
  });
  assert.match(listing(), /table ip6 portolan/);
  await mode.replace(both);
  assert.doesNotMatch(listing(), /table ip6 portolan/);
  await nftables.cleanup();
  await nftables.cleanup();
  assert.equal(listing(), "table ip other {\n}\n");
});

test("without privileges the mode says what it lacks", async () => {
  const script = `
    const { nftables } = await import(${JSON.stringify(new URL("../../src/proxy/modes/nftables/index.ts", import.meta.url).href)});
    console.log(JSON.stringify(await nftables.probe()));`;
  const child = spawn(
    "setpriv",
    [
      "--bounding-set=-all",
      "--inh-caps=-all",
      "--reuid=65534",
      "--clear-groups",
      process.execPath,
      "--input-type=module",
      "-e",
      script,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await once(child, "exit");
  assert.deepEqual(JSON.parse(text), {
    able: false,
    missing: ["no permission to read nf_tables: run as root, or with CAP_NET_ADMIN"],
  });
});

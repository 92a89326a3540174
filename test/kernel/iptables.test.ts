import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import * as ffi from "../../src/kernel/ffi.ts";
import { run } from "../../src/kernel/xtables/run.ts";
import { chooseXtables, findXtables, type Variant, type Xtables } from "../../src/kernel/xtables/xtables.ts";
import { type Family, families, parseAddress } from "../../src/net/address.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { inspectMachine } from "../../src/proxy/modes/iptables/machine.ts";
import { IptablesMode } from "../../src/proxy/modes/iptables/mode.ts";
import type { Mode } from "../../src/proxy/modes/mode.ts";
import type { Decision, DecisionKey } from "../../src/service/decision.ts";
import { goldenDesired } from "../golden/iptables/objects.ts";

// This process alone moves into a network namespace of its own, which ends with it. Programs that it starts are there too.
ffi.unshare(ffi.CLONE.newnet);
// The lock file is one for the whole machine, namespaces or not: others must not hold these tests up.
process.env.XTABLES_LOCKFILE = join(tmpdir(), `ptl-xtables-${process.pid}.lock`);
after(() => rmSync(process.env.XTABLES_LOCKFILE ?? "", { force: true }));

const desired = goldenDesired();
const signal = AbortSignal.timeout(120_000);
const variants: readonly Variant[] = ["nft", "legacy"];

for (const variant of variants) {
  describe(`the iptables mode, variant ${variant}`, () => {
    const factory = iptablesFactory(variant);
    let xtables: Xtables;
    let mode: Mode;

    before(async () => {
      const found = (await findXtables()).get(variant);
      assert(found, `this test needs iptables of variant ${variant}`);
      xtables = found;
      await flush(xtables);
      mode = await factory.create();
      const notes = [`through iptables ${found.version} (${variant})`];
      assert.deepEqual(await factory.probe(), { able: true, notes });
    });

    after(async () => {
      mode.close();
      await flush(xtables);
    });

    test("writes what the golden files say", async () => {
      await mode.replace(desired, signal);
      for (const family of families) {
        const file = new URL(`../golden/iptables/${family.toLowerCase()}.txt`, import.meta.url);
        const text = await saved(xtables, family);
        if (process.env.PORTOLAN_UPDATE_GOLDEN === "1") writeFileSync(file, text);
        assert.equal(text, readFileSync(file, "utf8"));
      }
      assert.equal(readFileSync("/proc/sys/net/ipv4/conf/all/route_localnet", "utf8"), "1\n");
    });

    test("finds nothing to complain about afterwards, nor does a new process", async () => {
      assert.deepEqual(await mode.audit(signal), []);
      const text = await saved(xtables, "IPv4");
      const second = await factory.create();
      await second.replace(desired, signal);
      assert.deepEqual(await second.audit(signal), []);
      assert.equal(await saved(xtables, "IPv4"), text);
    });

    test("keeps the counters of what does not change", async () => {
      const input = "*nat\n:KUBE-MARK-MASQ - [0:0]\n[7:420] -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\nCOMMIT\n";
      await xtables.restore("IPv4", [input]);
      await mode.replace(desired, signal);
      const { output } = await run(xtables.program("IPv4", "-save"), ["-c", "-t", "nat"]);
      assert.match(output, /^\[7:420\] -A KUBE-MARK-MASQ /m);
    });

    test("applies any changes to the same tables as a full sync", async () => {
      const keys = [...desired.decisions.keys()];
      const steps: ReadonlyMap<DecisionKey, Decision | undefined>[] = [
        new Map(keys.filter((_, i) => i % 2 === 0).map((key) => [key, undefined])),
        new Map(keys.filter((_, i) => i % 3 === 0).map((key) => [key, undefined])),
        new Map(keys.filter((_, i) => i % 2 === 0).map((key) => [key, desired.decisions.get(key)])),
        new Map(keys.map((key) => [key, withoutEndpoints(desired.decisions.get(key))])),
        new Map(keys.map((key) => [key, desired.decisions.get(key)])),
      ];
      for (const step of steps) {
        await mode.apply(step, signal);
        assert.deepEqual(await mode.audit(signal), []);
      }
      for (const family of families) {
        const golden = readFileSync(new URL(`../golden/iptables/${family.toLowerCase()}.txt`, import.meta.url), "utf8");
        assert.deepEqual((await saved(xtables, family)).split("\n").sort(), golden.split("\n").sort());
      }
    });

    test("is right after each of many changes at random", async () => {
      const entries = [...desired.decisions];
      const states = entries.flatMap(([key, decision]) =>
        [decision, undefined, withoutEndpoints(decision), withOneEndpoint(decision)].map(
          (state) => [key, state] as const,
        ),
      );
      let seed = 1;
      const random = (below: number) => {
        seed = (seed * 48_271) % 0x7fffffff;
        return seed % below;
      };
      for (let i = 0; i < 25; i++) {
        const changes = Array.from({ length: 1 + random(6) }, () => states[random(states.length)]);
        await mode.apply(new Map(changes.filter((change) => change !== undefined)), signal);
        assert.deepEqual(await mode.audit(signal), []);
      }
      await mode.apply(desired.decisions, signal);
      assert.deepEqual(await mode.audit(signal), []);
    });

    test("finds nothing to complain about where a service has hundreds of endpoints", async () => {
      const [key, decision] = [...desired.decisions].find(([, { family }]) => family === "IPv4") ?? [];
      assert(key !== undefined && decision !== undefined);
      const cluster = Array.from({ length: 700 }, (_, i) => ({
        address: parseAddress(`10.9.${i >> 8}.${i & 255}`),
        port: 8080,
        local: false,
      }));
      await mode.replace({ ...desired, decisions: new Map([[key, { ...decision, cluster }]]) }, signal);
      assert.deepEqual(await mode.audit(signal), []);
      await mode.replace(desired, signal);
      assert.deepEqual(await mode.audit(signal), []);
    });

    test("sees and mends what others break", async () => {
      const breakages: readonly (readonly [string, RegExp])[] = [
        ["*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n", /^IPv4 table nat: chain KUBE-SERVICES: \d+ rules missing$/],
        [
          "*nat\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n",
          /^IPv4 table nat: chain KUBE-SERVICES: rules too many or moved$/,
        ],
        ["*nat\n:KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0]\nCOMMIT\n", /^IPv4 table nat: 1 chains .* missing or changed$/],
        ["*nat\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\nCOMMIT\n", /^IPv4 table nat: 1 chains .* that nothing needs$/],
        ["*filter\n-F INPUT\nCOMMIT\n", /^IPv4 table filter: chain INPUT: jump to KUBE-NODEPORTS missing$/],
        ["*mangle\n-X KUBE-PROXY-CANARY\nCOMMIT\n", /^IPv4 table mangle: chain KUBE-PROXY-CANARY: missing$/],
        [
          "*filter\n-A KUBE-FORWARD -j ACCEPT\nCOMMIT\n",
          /^IPv4 table filter: chain KUBE-FORWARD: rules too many or moved$/,
        ],
      ];
      for (const [input, expected] of breakages) {
        await xtables.restore("IPv4", [input]);
        const drifts = await mode.audit(signal);
        assert(
          drifts.some(({ what }) => expected.test(what)),
          `${input}${JSON.stringify(drifts)}`,
        );
        await mode.replace(desired, signal);
        assert.deepEqual(await mode.audit(signal), []);
      }
    });

    test("recovers after everything was flushed", async () => {
      await flush(xtables);
      await mode.replace(desired, signal);
      assert.deepEqual(await mode.audit(signal), []);
      assert.equal(
        await saved(xtables, "IPv4"),
        readFileSync(new URL("../golden/iptables/ipv4.txt", import.meta.url), "utf8"),
      );
    });

    test("tells within moments that somebody flushed a table", async () => {
      const watching = new AbortController();
      const quick = new IptablesMode(xtables, inspectMachine(), {
        pace: { interval: variant === "nft" ? 60_000 : 20, share: 1 },
      });
      const told: string[] = [];
      quick.watch(({ what }) => told.push(what), watching.signal);
      await quick.replace(desired, signal);
      await setTimeout(300);
      assert.deepEqual(told, []);
      await run(xtables.program("IPv6", ""), ["-w", "-t", "nat", "-F"]);
      await run(xtables.program("IPv6", ""), ["-w", "-t", "nat", "-X"]);
      while (told.length === 0) await setTimeout(10, undefined, { signal });
      watching.abort();
      assert.equal(told[0], "IPv6 table nat: chain KUBE-PROXY-CANARY is gone: somebody flushed the rules");
      await mode.replace(desired, signal);
    });

    test("names the rule that the program refuses", async () => {
      const input = ["*nat\n:KUBE-TEST - [0:0]\n", "-A KUBE-TEST -j DROP --nonsense\n", "COMMIT\n"];
      await assert.rejects(
        xtables.restore("IPv4", input),
        /line 3: -A KUBE-TEST -j DROP --nonsense \(table nat\): .*unknown option "--nonsense"/,
      );
      // What the kernel refuses, the legacy program knows by its table only.
      const unknown = "-A KUBE-TEST -m nfacct --nfacct-name unknown -j RETURN";
      await assert.rejects(
        xtables.restore("IPv4", ["*nat\n:KUBE-TEST - [0:0]\n", `${unknown}\n`, "COMMIT\n"]),
        variant === "nft" ? /line 3: -A KUBE-TEST -m nfacct/ : /line 4: the kernel refused table nat: /,
      );
    });

    test("removes all of its own and nothing of others", async () => {
      await flush(xtables);
      for (const family of families) await xtables.restore(family, [foreignRules(family)]);
      const others = await Promise.all(families.map((family) => saved(xtables, family)));
      await mode.replace(desired, signal);
      await factory.cleanup();
      for (const [i, family] of families.entries()) {
        const left = (await saved(xtables, family))
          .split("\n")
          .filter((line) => !/KUBE-(FIREWALL|MARK-MASQ)/.test(line));
        const before = (others[i] ?? "").split("\n").filter((line) => !/KUBE-FIREWALL/.test(line));
        assert.deepEqual(left, before);
      }
      await factory.cleanup();
      await mode.replace(desired, signal);
      assert.deepEqual(await mode.audit(signal), []);
    });

    test("leaves nothing in a family that the node no longer serves", async () => {
      await mode.replace(desired, signal);
      const { IPv4 } = desired.settings.families;
      assert(IPv4);
      await mode.replace({ ...desired, settings: { ...desired.settings, families: { IPv4 } } }, signal);
      assert.doesNotMatch(
        await saved(xtables, "IPv6"),
        /KUBE-(SERVICES|EXT|SVC|SEP|FORWARD|NODEPORTS|POSTROUTING|PROXY)/,
      );
      assert.deepEqual(await mode.audit(signal), []);
    });

    test("tells of rules of others that keep a chain from being removed", async () => {
      await mode.replace(desired, signal);
      await xtables.restore("IPv4", ["*nat\n:MINE - [0:0]\n-A MINE -p tcp -j KUBE-SERVICES\nCOMMIT\n"]);
      await assert.rejects(factory.cleanup(), /iptables-\w+ -t nat -A MINE -p tcp -j KUBE-SERVICES/);
      await xtables.restore("IPv4", ["*nat\n-F MINE\n-X MINE\nCOMMIT\n"]);
      await factory.cleanup();
      assert.doesNotMatch(await saved(xtables, "IPv4"), /KUBE-SERVICES/);
    });

    test("cleans the other variant of what an earlier process left there", async () => {
      for (const each of variants) {
        const other = await iptablesFactory(each).create();
        await other.replace(desired, signal);
      }
      const newest = await factory.create();
      await newest.replace(desired, signal);
      for (const each of (await findXtables()).values()) {
        assert.equal(/KUBE-SERVICES/.test(await saved(each, "IPv4")), each.variant === variant);
      }
    });

    test("is chosen by an environment variable", async () => {
      process.env.PORTOLAN_IPTABLES = variant;
      const [own, other] = await Promise.all([iptablesFactory().create(), findXtables()]);
      await own.replace({ settings: desired.settings, decisions: new Map() }, signal);
      for (const each of other.values()) {
        assert.equal(/KUBE-SERVICES/.test(await saved(each, "IPv4")), each.variant === variant);
      }
      process.env.PORTOLAN_IPTABLES = "new";
      assert.deepEqual(await iptablesFactory().probe(), {
        able: false,
        missing: ['PORTOLAN_IPTABLES: Invalid value: "new": must be nft or legacy, or empty'],
      });
      delete process.env.PORTOLAN_IPTABLES;
      await factory.cleanup();
    });

    test("is chosen where it has more rules than the other one", async () => {
      const rules = "-A MORE -j ACCEPT\n".repeat(50);
      await xtables.restore("IPv4", [`*filter\n:MORE - [0:0]\n${rules}COMMIT\n`]);
      assert.equal((await chooseXtables(await findXtables()))?.variant, variant);
      await xtables.restore("IPv4", ["*filter\n-F MORE\n-X MORE\nCOMMIT\n"]);
    });

    test("is chosen by the hint that kubelet leaves", async () => {
      await xtables.restore("IPv4", ["*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n"]);
      assert.equal((await chooseXtables(await findXtables()))?.variant, variant);
      await xtables.restore("IPv4", ["*mangle\n-X KUBE-KUBELET-CANARY\nCOMMIT\n"]);
    });
  });
}

/** The tables as `iptables-save` prints them, in one order for both variants and without what differs in each call. */
async function saved(xtables: Xtables, family: Family): Promise<string> {
  let text = "";
  for (const table of ["mangle", "filter", "nat"]) {
    const { output } = await run(xtables.program(family, "-save"), ["-t", table]);
    text += output.replace(/^#.*\n/gm, "").replace(/^(:\S+ \S+) .*$/gm, "$1 [0:0]");
  }
  return text;
}

async function flush(xtables: Xtables): Promise<void> {
  for (const family of families) {
    for (const table of ["mangle", "filter", "nat"]) {
      for (const flag of ["-F", "-X"]) await run(xtables.program(family, ""), ["-w", "-t", table, flag]);
    }
  }
}

/** The decision once all endpoints have gone. */
function withoutEndpoints(decision: Decision | undefined): Decision | undefined {
  if (decision === undefined) return undefined;
  const reject = { kind: "reject" } as const;
  const outcomes = { pod: reject, node: reject, other: reject };
  const frontEnds = decision.frontEnds.map((frontEnd) => ({ ...frontEnd, outcomes }));
  return { ...decision, frontEnds, cluster: [], local: [] };
}

/** The decision once all endpoints but the first of each pool have gone, with affinity that it may not have had. */
function withOneEndpoint(decision: Decision): Decision {
  const { cluster, local } = decision;
  return { ...decision, cluster: cluster.slice(0, 1), local: local.slice(0, 1), affinitySeconds: 30 };
}

/** Rules as Docker and firewalld write them, and kubelet's. */
function foreignRules(family: Family): string {
  const bridge = family === "IPv4" ? "172.17.0.0/16" : "fd00:17::/64";
  return `*mangle
:KUBE-KUBELET-CANARY - [0:0]
-A PREROUTING -p tcp -j MARK --set-xmark 0x1/0xf
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:IN_public - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m comment --comment "kubernetes service portals" -j ACCEPT
-A INPUT -j IN_public
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d ${bridge} ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
-A IN_public -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
-A OUTPUT -j KUBE-FIREWALL
COMMIT
*nat
:DOCKER - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBEX - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s ${bridge} ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
COMMIT
`;
}

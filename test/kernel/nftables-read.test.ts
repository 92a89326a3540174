import assert from "node:assert/strict";
import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, beforeEach, describe, test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import {
  type Expression,
  listChains,
  listElements,
  listObjects,
  listRules,
  listSets,
  listTables,
  openNftables,
  readRuleset,
  Transaction,
} from "../../src/kernel/nftables/index.ts";

// This process gets a network namespace of its own, which goes with it.
ffi.unshare(ffi.CLONE.newnet);
execFileSync("ip", ["link", "add", "d0", "type", "veth", "peer", "name", "d1"]);
const socket = openNftables();
after(() => socket.close());

function nft(input: string): string {
  return execFileSync("nft", ["-f", "-"], { input, encoding: "utf8" });
}

/** The objects of a kind as `nft -j` lists them. */
function nftJson(kind: string): Record<string, unknown>[] {
  const { nftables } = JSON.parse(execFileSync("nft", ["-j", "list", "ruleset"], { encoding: "utf8" }));
  return nftables.flatMap((entry: Record<string, Record<string, unknown>>) => entry[kind] ?? []);
}

beforeEach(() => execFileSync("nft", ["flush", "ruleset"]));

/** Every expression with those inside it. */
function* allExpressions(expressions: readonly Expression[]): Generator<Expression> {
  for (const expression of expressions) {
    yield expression;
    if (expression.kind === "dynset") yield* allExpressions(expression.expressions ?? []);
    if (expression.kind === "inner") yield* allExpressions([expression.expression]);
  }
}

function unknownExpressions(): string[] {
  return listRules(socket).flatMap((rule) =>
    [...allExpressions(rule.expressions)].flatMap((expression) =>
      expression.kind === "unknown"
        ? [`${rule.table} ${rule.chain}: ${expression.name} ${Buffer.from(expression.data).toString("hex")}`]
        : [],
    ),
  );
}

const rulesOfAllKinds = readFileSync(new URL("rules.nft", import.meta.url), "utf8");

test("rules of very many chains are those that the kernel lists at once, in the same order", () => {
  const transaction = new Transaction();
  const drop: Expression = { kind: "verdict", verdict: { kind: "drop" } };
  for (const [family, count] of [
    ["ip", 3],
    ["ip6", 10_000],
    ["inet", 2],
  ] as const) {
    transaction.addTable({ family, table: "many" });
    for (let i = 0; i < count; i++) {
      const chain = { family, table: "many", chain: `c${i}` };
      transaction.addChain(chain);
      for (let each = 0; each < i % 3; each++) transaction.addRule({ ...chain, expressions: [drop] });
    }
  }
  transaction.commit(socket);
  const { rules, chains, consistent } = readRuleset(socket);
  assert.ok(consistent);
  assert.equal(chains.length, 10_005);
  assert.deepEqual(rules, listRules(socket));
  const { rules: own } = readRuleset(socket, { family: "ip6", table: "many" });
  assert.deepEqual(
    own,
    rules.filter(({ family }) => family === "ip6"),
  );
});

describe("a rule set that nft wrote", () => {
  test("is read without anything unknown", () => {
    nft(rulesOfAllKinds);
    assert.deepEqual(unknownExpressions(), []);
    const kinds = new Set(
      listRules(socket).flatMap((rule) => [...allExpressions(rule.expressions)].map((e) => e.kind)),
    );
    assert.ok(kinds.size >= 41, `${kinds.size}: ${[...kinds].sort().join(", ")}`);
  });

  test("has the tables, chains, sets, objects and rules that nft lists", () => {
    nft(rulesOfAllKinds);
    assert.deepEqual(
      listTables(socket).map(({ family, table, handle }) => ({ family, name: table, handle })),
      nftJson("table").map(({ family, name, handle }) => ({ family, name, handle })),
    );
    assert.deepEqual(
      listChains(socket)
        .map(({ family, table, chain, handle, base }) => ({
          ...{ family, table, name: chain, handle },
          ...(base === undefined ? {} : { type: base.type, hook: base.hook, prio: base.priority, policy: base.policy }),
        }))
        .sort(byHandle),
      nftJson("chain")
        .map(({ dev: _, ...chain }) => chain)
        .sort(byHandle),
    );
    assert.deepEqual(
      listRules(socket)
        .map(({ family, table, chain, handle, comment }) => ({ family, table, chain, handle, comment }))
        .sort(byHandle),
      nftJson("rule")
        .map(({ family, table, chain, handle, comment }) => ({ family, table, chain, handle, comment }))
        .sort(byHandle),
    );
    assert.deepEqual(
      listSets(socket)
        .filter((set) => !set.flags?.includes("anonymous"))
        .map(({ table, set, handle, timeout, size }) => ({ table, name: set, handle, timeout, size }))
        .sort(byHandle),
      [...nftJson("set"), ...nftJson("map")]
        .map(({ table, name, handle, timeout, size }) => ({ table, name, handle, timeout, size }))
        .sort(byHandle),
    );
    const quota = listObjects(socket).find((object) => object.name === "monthly");
    assert.deepEqual(quota?.state, { kind: "quota", bytes: 25 << 20, inverted: true });
    const objects = listObjects(socket).map(({ type, name }) => `${type} ${name}`);
    for (const name of ["counter hits", "quota monthly", "limit lim", "ct helper ftp-std", "synproxy sp"]) {
      assert.ok(objects.includes(name), `${name} is missing in ${objects}`);
    }
  });

  test("has the elements that nft lists", () => {
    nft(rulesOfAllKinds);
    const elements = (set: string) => listElements(socket, { family: "inet", table: "fw", set });
    const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");
    const timeouts = elements("blocked").map(({ key, timeout, comment }) => `${hex(key)} ${timeout} ${comment}`);
    assert.deepEqual(timeouts.sort(), ["0a090001 3600000 undefined", "0a090002 7200000 second"]);
    assert.deepEqual(
      elements("nets")
        .map(({ key, intervalEnd }) => `${hex(key)}${intervalEnd ? " end" : ""}`)
        .sort(),
      ["00000000 end", "0a000000", "0b000000 end", "ac100001", "ac10000a end", "c0a80000", "c0a90000 end"],
    );
    assert.deepEqual(
      elements("marks")
        .map(({ key, data, catchAll }) => `${catchAll ? "*" : hex(key)} ${hex(data)}`)
        .sort(),
      ["* 02000000", "0a000001 01000000"],
    );
    assert.deepEqual(
      elements("objs").map(({ object }) => object),
      ["hits"],
    );
    assert.deepEqual(
      elements("cidr-port").map(({ key, keyEnd }) => `${hex(key)}-${hex(keyEnd)}`),
      ["0a00000000500000-0affffff005a0000"],
    );
    assert.deepEqual(
      elements("verdicts")
        .map(({ verdict }) => verdict)
        .sort((a, b) => (a?.kind ?? "").localeCompare(b?.kind ?? "")),
      [{ kind: "drop" }, { kind: "jump", chain: "other" }],
    );
    const counters = elements("counted").map(({ key, expressions }) => [hex(key), ...(expressions ?? [])]);
    assert.deepEqual(
      counters.find(([key]) => key === "0050"),
      ["0050", { kind: "counter", packets: 5, bytes: 50 }],
    );
  });

  test("is the same when we write it again as we read it", () => {
    nft(rulesOfAllKinds);
    const listing = () => execFileSync("nft", ["-s", "list", "table", "inet", "fw"], { encoding: "utf8" });
    const before = listing();
    const scope = { family: "inet", table: "fw" } as const;
    const tables = listTables(socket, scope);
    const chains = listChains(socket, scope);
    const rules = listRules(socket, scope);
    const sets = listSets(socket, scope);
    const elements = new Map(sets.map((set) => [set.set, listElements(socket, set)]));
    const objects = listObjects(socket, scope);
    const transaction = new Transaction();
    transaction.deleteTable(scope);
    for (const table of tables) transaction.addTable(table);
    for (const object of objects) transaction.addObject(object);
    for (const chain of chains) transaction.addChain(chain);
    const ids = new Map(sets.map((set) => [set.set, transaction.addSet(set)]));
    for (const set of sets) {
      // Expirations pass while we work.
      const list = (elements.get(set.set) ?? []).map(({ expiration: _, ...element }) => element);
      const id = ids.get(set.set);
      transaction.addElements({ ...set, ...(id === undefined ? {} : { id }) }, list);
    }
    for (const rule of rules) {
      const expressions = rule.expressions.map((expression) => {
        const setId = "set" in expression && typeof expression.set === "string" ? ids.get(expression.set) : undefined;
        return setId === undefined ? expression : ({ ...expression, setId } as Expression);
      });
      transaction.addRule({ ...rule, expressions });
    }
    transaction.commit(socket);
    assert.equal(withoutTimes(listing()), withoutTimes(before));
    assert.deepEqual(
      listRules(socket, scope).map((rule) => JSON.stringify({ ...rule, handle: 0 })),
      rules.map((rule) => JSON.stringify({ ...rule, handle: 0 })),
    );
  });
});

describe("the whole rule set", () => {
  test("of a table that does not exist is empty", () => {
    const { generation: _, ...lists } = readRuleset(socket, { family: "ip", table: "nowhere" });
    assert.deepEqual(lists, { consistent: true, tables: [], chains: [], rules: [], sets: [], objects: [] });
  });

  test("is read as it was at one moment, while somebody changes it all the time", async () => {
    const changer = fork(new URL("changer.ts", import.meta.url));
    try {
      await once(changer, "message");
      const numbers = new Set<string>();
      let inconsistent = 0;
      for (let i = 0; i < 100; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        const { consistent, chains, rules, sets } = readRuleset(socket, { family: "ip", table: "changing" }, 50);
        if (!consistent) {
          inconsistent++;
          continue;
        }
        const number = (text = "") => text.replace(/.*-/, "");
        const seen = [
          ...chains.map((chain) => number(chain.chain)),
          ...rules.map((rule) => number(rule.comment)),
          ...sets.flatMap((set) => [
            number(set.set),
            ...set.elements.map(({ key }) => String(Buffer.from(key).readUInt32LE())),
          ]),
        ];
        if (seen.length === 0) continue;
        assert.equal(seen.length, 4);
        assert.equal(new Set(seen).size, 1, seen.join(" "));
        numbers.add(String(seen[0]));
      }
      assert.ok(numbers.size > 10, `${numbers.size} states were read, ${inconsistent} were inconsistent`);
    } finally {
      changer.kill();
    }
  });
});

describe("rules that iptables-nft wrote", () => {
  const iptables = (program: string, table: string, rules: string) =>
    execFileSync(program, ["--noflush"], { input: `*${table}\n${rules}COMMIT\n`, encoding: "utf8" });

  test("are read with the xtables matches and targets that they use", () => {
    iptables("iptables-nft-restore", "nat", natRules);
    iptables("iptables-nft-restore", "filter", filterRules);
    iptables("iptables-nft-restore", "mangle", mangleRules);
    iptables("ip6tables-nft-restore", "nat", natRules6);
    assert.deepEqual(unknownExpressions(), []);
    const used = new Set(
      listRules(socket).flatMap((rule) =>
        rule.expressions.flatMap((e) => (e.kind === "match" || e.kind === "target" ? [`${e.kind} ${e.name}`] : [])),
      ),
    );
    for (const name of [
      "match comment",
      "match statistic",
      "match recent",
      "match addrtype",
      "match conntrack",
      "target DNAT",
    ]) {
      assert.ok(
        [...used].some((known) => known === name),
        `${name} is missing in ${[...used]}`,
      );
    }
    const statistic = listRules(socket)
      .flatMap((rule) => rule.expressions)
      .find((e) => e.kind === "match" && e.name === "statistic");
    assert.ok(statistic?.kind === "match" && statistic.info.length >= 24);
  });
});

function byHandle(a: { handle?: unknown }, b: { handle?: unknown }): number {
  return Number(a.handle) - Number(b.handle) || JSON.stringify(a).localeCompare(JSON.stringify(b));
}

function withoutTimes(listing: string): string {
  return listing.replaceAll(/expires \w+/g, "expires some time");
}

const natRules = `:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "default/kubernetes:https cluster IP" -m tcp --dport 443 -j KUBE-SVC-A
-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m comment --comment "affinity" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j KUBE-SEP-A
-A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
-A KUBE-SVC-A -m statistic --mode nth --every 3 --packet 0 -j KUBE-SEP-A
-A KUBE-SEP-A -s 10.244.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m recent --set --name KUBE-SEP-A --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.244.0.5:6443
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A POSTROUTING -m policy --dir out --pol none -j SNAT --to-source 10.0.0.1-10.0.0.9
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -p udp -m udp --dport 5000:5010 -j REDIRECT --to-ports 53
-A DOCKER -m multiport -p tcp --dports 80,443,8000:8100 -j NETMAP --to 10.3.0.0/24
`;
const filterRules = `:KUBE-FORWARD - [0:0]
-A FORWARD -m conntrack --ctstate NEW -j KUBE-FORWARD
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m limit --limit 5/min --limit-burst 7 -j LOG --log-prefix "fw: " --log-level 6
-A OUTPUT -m owner --uid-owner 0 -j ACCEPT
-A KUBE-FORWARD -m hashlimit --hashlimit-upto 10/sec --hashlimit-mode srcip --hashlimit-name h -j ACCEPT
-A KUBE-FORWARD -m physdev --physdev-is-bridged -j ACCEPT
-A KUBE-FORWARD -m mac --mac-source 00:11:22:33:44:55 -j ACCEPT
-A KUBE-FORWARD -m string --string "x" --algo bm -j DROP
-A KUBE-FORWARD -m time --timestart 10:00 -j DROP
-A KUBE-FORWARD -m connlimit --connlimit-above 5 -j DROP
-A KUBE-FORWARD -m connmark --mark 0x1/0x1 -j DROP
-A KUBE-FORWARD -m length --length 100:200 -m ttl --ttl-gt 5 -m tos --tos 0x10 -j DROP
-A KUBE-FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A KUBE-FORWARD -p tcp -m tcp --tcp-flags SYN,ACK SYN --tcp-option 5 -j REJECT --reject-with tcp-reset
-A KUBE-FORWARD -p sctp -m sctp --dport 7 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-FORWARD -m iprange --src-range 10.0.0.1-10.0.0.9 -m pkttype --pkt-type unicast -j NFLOG --nflog-group 3
-A KUBE-FORWARD -f -j DROP
-A KUBE-FORWARD -m quota --quota 1000 -m cpu --cpu 0 -j NFQUEUE --queue-num 3
`;
const mangleRules = `-A PREROUTING -m rpfilter --invert -j DROP
-A PREROUTING -p tcp -m socket --transparent -j MARK --set-mark 0x1
-A PREROUTING -p tcp --dport 80 -j TPROXY --on-port 8080 --tproxy-mark 0x1/0x1
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A POSTROUTING -j DSCP --set-dscp 0x2
-A POSTROUTING -j CLASSIFY --set-class 0001:0002
-A POSTROUTING -p udp -j CHECKSUM --checksum-fill
`;
const natRules6 = `-A PREROUTING -d fd00::1/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080
-A POSTROUTING -s fd00::/64 -j MASQUERADE
`;

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, beforeEach, describe, test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import { isAlreadyExists, isConflict, isNotFound, NetlinkError } from "../../src/kernel/netlink/index.ts";
import {
  concatKey,
  type Expression,
  getElement,
  hostU32Bytes,
  keyLayout,
  listElements,
  listObjects,
  listRules,
  listTables,
  openNftables,
  priorities,
  readGeneration,
  register,
  rules,
  Transaction,
  typeOf,
  typeofLayout,
  typeofNumgen,
  u16Bytes,
  valueData,
} from "../../src/kernel/nftables/index.ts";

// This process gets a network namespace of its own, which goes with it.
ffi.unshare(ffi.CLONE.newnet);
const socket = openNftables();
after(() => socket.close());

function nft(...args: readonly string[]): string {
  return execFileSync("nft", [...args], { encoding: "utf8" });
}

beforeEach(() => nft("flush", "ruleset"));

const demo = { family: "ip", table: "demo" } as const;
const services = keyLayout("ipv4_addr", "inet_proto", "inet_service");
const endpoint = typeofLayout(typeOf("ip daddr"), typeOf("th dport"));
const slots = typeofLayout(typeOf("ip daddr"), typeOf("meta l4proto"), typeOf("th dport"), typeofNumgen("random", 2));
const serviceKey = [rules.field.ip4Destination, rules.field.protocol, rules.field.destinationPort];

/** One base chain with these rules. */
function commitRules(...list: readonly (readonly Expression[])[]): void {
  const transaction = new Transaction();
  transaction.addTable(demo);
  transaction.addChain({
    ...demo,
    chain: "c",
    base: { type: "filter", hook: "output", priority: 0 },
  });
  for (const expressions of list) transaction.addRule({ ...demo, chain: "c", expressions });
  transaction.commit(socket);
}

/** The rules of chain c as `nft` lists them. */
function listedRules(): string[] {
  return nft("list", "chain", "ip", "demo", "c")
    .split("\n")
    .slice(3, -3)
    .map((line) => line.trim());
}

describe("a transaction, as nft reads it,", () => {
  test("lists sets and maps with their types, elements and comments", () => {
    const transaction = new Transaction();
    transaction.addTable({ ...demo, comment: "made by a test" });
    transaction.addSet({ ...demo, set: "front-ends", key: services, comment: "all front ends" });
    transaction.addSet({ ...demo, set: "slots", key: slots, data: valueData(endpoint) });
    transaction.addSet({
      ...demo,
      set: "clients",
      key: keyLayout("ipv4_addr"),
      timeout: 10_800_000,
      size: 65_535,
      flags: ["dynamic"],
    });
    transaction.addSet({ ...demo, set: "ranges", key: services, flags: ["interval"] });
    transaction.addSet({ ...demo, set: "networks", key: keyLayout("ipv4_addr"), flags: ["interval"] });
    transaction.addSet({ ...demo, set: "decisions", key: keyLayout("mark"), data: { kind: "verdict" } });
    const key = concatKey([Uint8Array.of(10, 0, 0, 1), Uint8Array.of(6), u16Bytes(80)]);
    transaction.addElements({ ...demo, set: "front-ends" }, [{ key, comment: "default/web" }]);
    transaction.addElement(
      { ...demo, set: "slots" },
      concatKey([key, hostU32Bytes(1)]),
      concatKey([Uint8Array.of(10, 1, 0, 1), u16Bytes(8080)]),
    );
    transaction.addElements({ ...demo, set: "clients" }, [{ key: Uint8Array.of(10, 2, 0, 1), timeout: 3_600_000 }]);
    transaction.addElements({ ...demo, set: "ranges" }, [
      { key, keyEnd: concatKey([Uint8Array.of(10, 0, 0, 9), Uint8Array.of(6), u16Bytes(90)]) },
    ]);
    transaction.addElements({ ...demo, set: "networks" }, [
      { key: Uint8Array.of(10, 0, 0, 0) },
      { key: Uint8Array.of(11, 0, 0, 0), intervalEnd: true },
    ]);
    transaction.addElements({ ...demo, set: "decisions" }, [{ key: hostU32Bytes(0x4000), verdict: { kind: "drop" } }]);
    transaction.commit(socket);
    const listing = nft("list", "ruleset");
    assert.match(listing, /comment "made by a test"/);
    assert.match(
      listing,
      /set front-ends \{\n\s+type ipv4_addr \. inet_proto \. inet_service\n\s+comment "all front ends"\n\s+elements = \{ 10\.0\.0\.1 \. tcp \. 80 comment "default\/web" \}/,
    );
    assert.match(listing, /typeof ip daddr \. meta l4proto \. th dport \. numgen random mod 2 : ip daddr \. th dport/);
    assert.match(listing, /10\.0\.0\.1 \. tcp \. 80 \. 1 : 10\.1\.0\.1 \. 8080/);
    assert.match(
      listing,
      /size 65535\n\s+flags dynamic,timeout\n\s+timeout 3h\n\s+elements = \{ 10\.2\.0\.1 timeout 1h expires/,
    );
    assert.match(listing, /10\.0\.0\.1-10\.0\.0\.9 \. tcp \. 80-90/);
    assert.match(listing, /elements = \{ 10\.0\.0\.0\/8 \}/);
    assert.match(listing, /type mark : verdict\n\s+elements = \{ 0x00004000 : drop \}/);
    assert.doesNotThrow(() => JSON.parse(nft("-j", "list", "ruleset")));
  });

  test("lists the rules of a service proxy as they were meant", () => {
    const transaction = new Transaction();
    transaction.addTable(demo);
    transaction.addSet({ ...demo, set: "slots", key: slots, data: valueData(endpoint) });
    transaction.addSet({ ...demo, set: "svc", key: services });
    transaction.addSet({
      ...demo,
      set: "affinity",
      key: keyLayout("ipv4_addr"),
      timeout: 1000,
      flags: ["dynamic"],
      size: 10,
    });
    transaction.addChain({
      ...demo,
      chain: "nat",
      base: { type: "nat", hook: "prerouting", priority: priorities.dstnat },
    });
    transaction.addChain({ ...demo, chain: "post", base: { type: "nat", hook: "postrouting", priority: 100 } });
    transaction.addChain({ ...demo, chain: "mod", comment: "balances" });
    const add = (chain: string, expressions: readonly Expression[], comment?: string) =>
      transaction.addRule({ ...demo, chain, expressions, ...(comment === undefined ? {} : { comment }) });
    add("nat", [...rules.loadKey(serviceKey), rules.isIn("svc"), rules.goTo("mod")], "services");
    add("mod", [
      rules.field.ip4Source.into(8),
      { kind: "dynset", set: "affinity", op: "update", sreg: 8, timeout: 5000 },
    ]);
    add("mod", [
      ...rules.loadKey([...serviceKey, rules.numgen("random", 2)]),
      rules.lookup("slots", 8),
      rules.dnat("ip", register(0), register(1)),
    ]);
    const votes = transaction.addSet({
      ...demo,
      set: "__map%d",
      flags: ["anonymous", "constant"],
      key: typeofLayout(typeofNumgen("inc", 2)),
      data: { kind: "verdict" },
    });
    transaction.addElements({ ...demo, set: "__map%d", id: votes }, [
      { key: hostU32Bytes(0), verdict: { kind: "accept" } },
      { key: hostU32Bytes(1), verdict: { kind: "goto", chain: "mod" } },
    ]);
    add("nat", [rules.numgen("inc", 2).into(8), rules.lookup("__map%d", 0, { setId: votes })]);
    add("post", [...rules.noBit(rules.field.mark, 0x4000), rules.returns]);
    add("post", [...rules.changeMark(0x4000, 0x4000), rules.masquerade("fully-random")]);
    transaction.commit(socket);
    const listing = nft("list", "ruleset");
    for (const line of [
      'ip daddr . meta l4proto . th dport @svc goto mod comment "services"',
      "numgen inc mod 2 vmap { 0 : accept, 1 : goto mod }",
      "update @affinity { ip saddr timeout 5s }",
      "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @slots",
      "meta mark & 0x00004000 == 0x00000000 return",
      "meta mark set meta mark | 0x00004000 masquerade fully-random",
      'comment "balances"',
      "type nat hook prerouting priority dstnat; policy accept;",
    ]) {
      assert.ok(listing.includes(line), `${line}\nis missing in\n${listing}`);
    }
    assert.doesNotThrow(() => JSON.parse(nft("-j", "list", "ruleset")));
  });

  const r = 8;
  const cases: readonly (readonly [string, readonly Expression[]])[] = [
    ["ct state new accept", [...rules.anyBit(rules.field.ctState, rules.ctState.new), rules.accept]],
    ["ct status dnat accept", [...rules.anyBit(rules.field.ctStatus, rules.ctStatus.dnat), rules.accept]],
    ["reject with tcp reset", [...rules.isProtocol(6), rules.rejectReset]],
    ["reject", [{ kind: "reject", type: "icmp", code: 3 }]],
    ["reject with icmpx net-unreachable", [{ kind: "reject", type: "icmpx", code: 0 }]],
    [
      'oifname "eth0" counter packets 0 bytes 0 drop',
      [...rules.isInterface("output", "eth0"), rules.counter(), rules.drop],
    ],
    [
      "ip daddr 10.0.0.1-10.0.0.9 accept",
      [
        rules.field.ip4Destination.into(r),
        { kind: "range", sreg: r, op: "eq", from: Uint8Array.of(10, 0, 0, 1), to: Uint8Array.of(10, 0, 0, 9) },
        rules.accept,
      ],
    ],
    [
      "ip daddr 10.0.0.0/12 accept",
      [
        ...rules.compareMasked(
          rules.field.ip4Destination,
          Uint8Array.of(255, 240, 0, 0),
          "eq",
          Uint8Array.of(10, 0, 0, 0),
        ),
        rules.accept,
      ],
    ],
    [
      "fib daddr type local accept",
      [...rules.compare(rules.fibType("daddr"), "eq", hostU32Bytes(rules.addressType.local)), rules.accept],
    ],
    [
      'limit rate over 10/second burst 7 packets log prefix "x: " level info',
      [
        { kind: "limit", type: "packets", rate: 10, unit: 1, burst: 7, inverted: true },
        { kind: "log", prefix: "x: ", level: 6 },
      ],
    ],
    [
      "meta mark set symhash mod 4",
      [
        { kind: "symhash", dreg: r, modulus: 4 },
        { kind: "meta set", key: "mark", sreg: r },
      ],
    ],
    [
      "meta mark set jhash ip saddr mod 4 seed 0x5 offset 7",
      [
        rules.field.ip4Source.into(r),
        { kind: "jhash", sreg: r, dreg: r, length: 4, modulus: 4, seed: 5, offset: 7 },
        { kind: "meta set", key: "mark", sreg: r },
      ],
    ],
    ["ct mark set meta mark", [rules.field.mark.into(r), { kind: "ct set", key: "mark", sreg: r }]],
    [
      "meta mark set meta mark << 4",
      [
        rules.field.mark.into(r),
        { kind: "bitwise shift", sreg: r, dreg: r, length: 4, direction: "left", bits: 4 },
        { kind: "meta set", key: "mark", sreg: r },
      ],
    ],
    [
      "ct original ip daddr 10.0.0.1 accept",
      [...rules.compare(rules.ct("daddr ip", 4, "original"), "eq", Uint8Array.of(10, 0, 0, 1)), rules.accept],
    ],
    ["quota over 1000 bytes drop", [{ kind: "quota", bytes: 1000, inverted: true }, rules.drop]],
  ];
  for (const [line, expressions] of cases) {
    test(`lists a rule as: ${line}`, () => {
      commitRules(expressions);
      assert.deepEqual(listedRules(), [line]);
    });
  }
});

describe("a transaction", () => {
  const set = { ...demo, set: "s" };
  const key = (number: number) => Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);

  function makeSet(data = false): void {
    const transaction = new Transaction();
    transaction.addTable(demo);
    transaction.addSet({
      ...set,
      key: keyLayout("ipv4_addr"),
      ...(data ? { data: valueData(keyLayout("mark")) } : {}),
    });
    transaction.commit(socket);
  }

  test("leaves nothing of itself when one change is refused, and names it", () => {
    makeSet();
    const transaction = new Transaction();
    transaction.addTable({ family: "ip6", table: "other" });
    transaction.addElement(set, key(1));
    transaction.addElement(set, key(2));
    transaction.deleteElement(set, key(77));
    transaction.addElement(set, key(3));
    assert.throws(
      () => transaction.commit(socket),
      (error) => {
        assert.ok(error instanceof NetlinkError && isNotFound(error), String(error));
        assert.equal(error.request, "delete element ip demo s { key 0000004d }");
        return true;
      },
    );
    assert.deepEqual(listElements(socket, set), []);
    assert.deepEqual(
      listTables(socket).map((table) => table.table),
      ["demo"],
    );
    // It can be used again, and so can the socket.
    transaction.addElement(set, key(1));
    transaction.commit(socket);
    assert.equal(listElements(socket, set).length, 1);
  });

  test("names the expression that the kernel refuses", () => {
    assert.throws(
      () => commitRules([rules.counter(), { kind: "lookup", set: "nowhere", sreg: 8 }]),
      (error) =>
        error instanceof NetlinkError &&
        error.request === "add rule ip demo c (expression 2, lookup)" &&
        isNotFound(error),
    );
  });

  test("replaces an element's data by deleting and adding it", () => {
    makeSet(true);
    const transaction = new Transaction();
    transaction.addElement(set, key(1), hostU32Bytes(5));
    transaction.commit(socket);
    transaction.addElement(set, key(1), hostU32Bytes(6));
    assert.throws(() => transaction.commit(socket), isAlreadyExists);
    transaction.deleteElement(set, key(1));
    transaction.addElement(set, key(1), hostU32Bytes(6));
    transaction.commit(socket);
    assert.deepEqual(getElement(socket, set, key(1)), { key: key(1), data: hostU32Bytes(6) });
    assert.equal(getElement(socket, set, key(2)), undefined);
  });

  test("does not change a rule set that somebody else has changed since", () => {
    makeSet();
    const { id } = readGeneration(socket);
    const transaction = new Transaction();
    transaction.clearAndExpect(id);
    transaction.addElement(set, key(1));
    transaction.commit(socket);
    transaction.clearAndExpect(id);
    transaction.addElement(set, key(2));
    assert.throws(() => transaction.commit(socket), isConflict);
    assert.equal(listElements(socket, set).length, 1);
  });

  test("loads 100,000 elements at once, in messages below the limit of an attribute", () => {
    makeSet();
    const transaction = new Transaction();
    for (let i = 0; i < 100_000; i++) transaction.addElement(set, key(0x0a000000 + i));
    assert.ok(transaction.messageCount > 20, String(transaction.messageCount));
    transaction.commit(socket);
    const elements = listElements(socket, set);
    assert.equal(new Set(elements.map((element) => Buffer.from(element.key).readUInt32BE())).size, 100_000);
  });

  test("deletes, destroys and flushes", () => {
    makeSet();
    const transaction = new Transaction();
    transaction.addElement(set, key(1));
    transaction.addElement(set, key(2));
    transaction.deleteElements(set, [{ key: key(3) }], "destroy");
    transaction.commit(socket);
    transaction.flushSet(set);
    transaction.addElement(set, key(4));
    transaction.commit(socket);
    assert.deepEqual(listElements(socket, set), [{ key: key(4) }]);
    transaction.deleteSet(set);
    transaction.deleteSet(set, "destroy");
    transaction.deleteTable({ family: "ip6", table: "never-there" }, "destroy");
    transaction.deleteTable(demo);
    transaction.commit(socket);
    assert.deepEqual(listTables(socket), []);
  });

  test("puts rules where it is told to, and replaces and removes them by handle", () => {
    const chain = { ...demo, chain: "c" };
    const rule = (comment: string) => ({ ...chain, expressions: [rules.counter()], comment });
    const listed = () => listRules(socket, chain).map(({ comment }) => comment);
    const handleOf = (comment: string) => listRules(socket, chain).find((r) => r.comment === comment)?.handle ?? 0;
    const transaction = new Transaction();
    transaction.addTable(demo);
    transaction.addChain(chain);
    for (const comment of ["b", "d"]) transaction.addRule(rule(comment));
    transaction.insertRule(rule("a"));
    transaction.commit(socket);
    assert.deepEqual(listed(), ["a", "b", "d"]);
    transaction.addRule(rule("c"), { after: handleOf("b") });
    transaction.addRule(rule("0"), { before: handleOf("a") });
    transaction.replaceRule({ ...rule("e"), handle: handleOf("d") });
    transaction.commit(socket);
    assert.deepEqual(listed(), ["0", "a", "b", "c", "e"]);
    transaction.deleteRule({ ...chain, handle: handleOf("b") });
    transaction.deleteRule({ ...chain, handle: 9999 }, "destroy");
    transaction.commit(socket);
    assert.deepEqual(listed(), ["0", "a", "c", "e"]);
    transaction.flushRules(chain);
    transaction.commit(socket);
    assert.deepEqual(listed(), []);
  });

  test("that creates fails on what exists, and does not remove what is in use", () => {
    makeSet();
    const transaction = new Transaction();
    const refused = (code: string) => (error: unknown) => error instanceof NetlinkError && error.code === code;
    transaction.addElement(set, key(1));
    transaction.commit(socket);
    transaction.addElement(set, key(2));
    transaction.addElements(set, [{ key: key(1) }], "create");
    assert.throws(() => transaction.commit(socket), refused("EEXIST"));
    transaction.addTable(demo, "create");
    assert.throws(() => transaction.commit(socket), refused("EEXIST"));
    transaction.addChain({ ...demo, chain: "used" });
    transaction.addChain({ ...demo, chain: "user" });
    transaction.addRule({ ...demo, chain: "user", expressions: [rules.jump("used")] });
    transaction.commit(socket);
    transaction.deleteChain({ ...demo, chain: "used" });
    assert.throws(() => transaction.commit(socket), refused("EBUSY"));
    transaction.deleteChain({ ...demo, chain: "user" });
    transaction.deleteChain({ ...demo, chain: "used" });
    transaction.deleteChain({ ...demo, chain: "used" }, "destroy");
    transaction.commit(socket);
  });

  test("makes named objects that rules use", () => {
    const transaction = new Transaction();
    transaction.addTable(demo);
    transaction.addObject({ ...demo, name: "hits", type: "counter", state: rules.counter(), comment: "all hits" });
    transaction.addChain({ ...demo, chain: "c" });
    transaction.addRule({ ...demo, chain: "c", expressions: [{ kind: "objref", type: "counter", name: "hits" }] });
    transaction.commit(socket);
    assert.match(
      nft("list", "ruleset"),
      /counter hits \{\s+comment "all hits"\s+packets 0 bytes 0\s+\}.+counter name "hits"/s,
    );
    transaction.flushRules(demo);
    transaction.deleteObject({ ...demo, name: "hits", type: "counter" });
    transaction.commit(socket);
    assert.deepEqual(listObjects(socket), []);
  });

  test("that could not be encoded is not sent, and can be used again", () => {
    makeSet();
    const transaction = new Transaction();
    assert.throws(() => transaction.addTable({ ...demo, table: "a\0b" }), TypeError);
    assert.throws(() => transaction.commit(socket), /could not be encoded/);
    transaction.addElement(set, key(1));
    transaction.commit(socket);
    assert.equal(listElements(socket, set).length, 1);
  });

  test("with more refusals than the socket holds is refused, and the socket works on", () => {
    makeSet();
    using small = openNftables({ receiveBuffer: 4096 });
    const transaction = new Transaction();
    for (let i = 0; i < 5000; i++) transaction.deleteRule({ ...demo, chain: `none-${i}`, handle: 1 });
    assert.throws(
      () => transaction.commit(small),
      (error) =>
        error instanceof NetlinkError && error.code === "ENOENT" && error.request === "delete rule ip demo none-0",
    );
    transaction.addElement(set, key(1));
    transaction.commit(small);
    assert.equal(listElements(small, set).length, 1);
  });

  test("made while another is being made is told apart from it", () => {
    makeSet();
    const first = new Transaction();
    const second = new Transaction();
    first.addElement(set, key(1));
    second.addElement(set, key(2));
    first.deleteElement({ ...set, set: "nowhere" }, key(3));
    second.addElement(set, key(4));
    second.deleteElement(set, key(2));
    assert.throws(() => first.commit(socket), isNotFound);
    second.commit(socket);
    assert.deepEqual(listElements(socket, set), [{ key: key(4) }]);
  });

  test("may be checked: nothing is made, and what would be refused is named", () => {
    const transaction = new Transaction();
    const generation = readGeneration(socket).id;
    transaction.addTable(demo);
    transaction.addChain({ ...demo, chain: "c", base: { type: "nat", hook: "prerouting", priority: -100 } });
    transaction.check(socket);
    assert.equal(transaction.messageCount, 0);
    transaction.addTable(demo);
    transaction.addChain({ ...demo, chain: "c", base: { type: "nat", hook: "forward", priority: -100 } });
    assert.throws(() => transaction.check(socket), /^NetlinkError: add chain ip demo c: EOPNOTSUPP/);
    assert.deepEqual(listTables(socket), []);
    assert.equal(readGeneration(socket).id, generation);
    makeSet();
    assert.equal(listTables(socket).length, 1);
  });

  test("may be larger than a socket's usual buffer", () => {
    makeSet();
    const transaction = new Transaction();
    for (let i = 0; i < 20_000; i++) {
      transaction.addElements(set, [{ key: key(i), comment: "x".repeat(100) }]);
    }
    assert.ok(transaction.byteLength > 2_000_000);
    transaction.commit(socket);
    transaction.deleteTable(demo);
    transaction.commit(socket);
  });
});

/** Sets on the real kernel, in a namespace of the test's own; the program `ipset` is the judge of what was written. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Entry, formatEntry, Ipsets, type SetHeader } from "../../src/kernel/ipset/index.ts";
import { NetlinkError } from "../../src/kernel/netlink/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { TestNetwork } from "../support/network.ts";

const network = new TestNetwork("ipset");
const host = network.host("one");
const sets = new Ipsets(host.namespace);
after(() => {
  sets.close();
  network.close();
});

const v4 = parseAddress("10.96.0.1");
const v6 = parseAddress("fd00:96::1");

function saved(name: string): readonly string[] {
  return host.exec("ipset", ["save", name]).trim().split("\n");
}

const samples: readonly { readonly header: SetHeader; readonly entries: readonly Entry[] }[] = [
  { header: { name: "A", type: "hash:ip", family: "IPv4" }, entries: [{ type: "hash:ip", address: v4 }] },
  { header: { name: "A6", type: "hash:ip", family: "IPv6" }, entries: [{ type: "hash:ip", address: v6 }] },
  {
    header: { name: "B", type: "hash:ip,port", family: "IPv4" },
    entries: [
      { type: "hash:ip,port", address: v4, protocol: "TCP", port: 443 },
      { type: "hash:ip,port", address: v4, protocol: "UDP", port: 53 },
      { type: "hash:ip,port", address: v4, protocol: "SCTP", port: 7 },
    ],
  },
  {
    header: { name: "C6", type: "hash:ip,port,ip", family: "IPv6" },
    entries: [{ type: "hash:ip,port,ip", address: v6, protocol: "TCP", port: 443, second: v6 }],
  },
  {
    header: { name: "D", type: "hash:ip,port,net", family: "IPv4" },
    entries: [
      { type: "hash:ip,port,net", address: v4, protocol: "TCP", port: 443, prefix: parsePrefix("10.0.0.0/8") },
      { type: "hash:ip,port,net", address: v4, protocol: "TCP", port: 443, prefix: parsePrefix("192.0.2.1/32") },
    ],
  },
  {
    header: { name: "E", type: "bitmap:port", family: "IPv4" },
    entries: [
      { type: "bitmap:port", port: 0 },
      { type: "bitmap:port", port: 30080 },
      { type: "bitmap:port", port: 65535 },
    ],
  },
  { header: { name: "F", type: "list:set", family: "IPv4" }, entries: [{ type: "list:set", name: "B" }] },
];

for (const { header, entries } of samples) {
  test(`a set ${header.type} ${header.family} is made, filled, read back, changed and removed`, () => {
    if (header.type === "list:set") sets.create({ name: "B", type: "hash:ip,port", family: "IPv4" });
    sets.create(header);
    sets.create(header);
    sets.add(header.name, entries);
    sets.add(header.name, entries);
    const [create, ...adds] = saved(header.name);
    assert.match(create ?? "", new RegExp(`^create ${header.name} ${header.type}`));
    const texts = entries.map(formatEntry).sort();
    assert.deepEqual(adds.sort(), texts.map((text) => `add ${header.name} ${text}`).sort());
    const [listed] = sets.list(header.name);
    assert.deepEqual(listed?.entries.map(formatEntry).sort(), texts);
    assert.equal(listed?.type, header.type);
    for (const entry of entries) assert.equal(sets.test(header.name, entry), true);
    sets.delete(header.name, entries);
    sets.delete(header.name, entries);
    for (const entry of entries) assert.equal(sets.test(header.name, entry), false);
    assert.deepEqual(sets.list(header.name)[0]?.entries, []);
    assert.equal(sets.destroy(header.name), true);
    assert.equal(sets.destroy(header.name), false);
    assert.deepEqual(sets.list(header.name), []);
    sets.destroy("B");
  });
}

test("as many entries as a set has room for go in and come back, over several messages", () => {
  const many = Array.from({ length: 20_000 }, (_, i): Entry => {
    const address = parseAddress(`10.96.${i >> 8}.${i & 255}`);
    return { type: "hash:ip,port", address, protocol: "TCP", port: 80 };
  });
  sets.create({ name: "MANY", type: "hash:ip,port", family: "IPv4" });
  sets.add("MANY", many);
  assert.equal(sets.list().find(({ name }) => name === "MANY")?.entries.length, many.length);
  sets.delete("MANY", many.slice(1));
  assert.deepEqual(sets.list("MANY")[0]?.entries.map(formatEntry), ["10.96.0.0,tcp:80"]);
  sets.create({ name: "OTHER", type: "hash:ip,port", family: "IPv4" });
  sets.swap("MANY", "OTHER");
  assert.deepEqual(sets.list("MANY")[0]?.entries, []);
  sets.flush("OTHER");
  assert.deepEqual(sets.list("OTHER")[0]?.entries, []);
});

test("a refusal names the set and says why", () => {
  sets.create({ name: "SMALL", type: "hash:ip", family: "IPv4" }, 1);
  const refused = (work: () => void, message: RegExp) =>
    assert.throws(work, (error) => error instanceof NetlinkError && message.test(error.message));
  refused(() => sets.add("NONE", [{ type: "hash:ip", address: v4 }]), /^add to set NONE: ENOENT/);
  refused(() => sets.add("SMALL", [{ type: "hash:ip", address: v6 }]), /^add to set SMALL: .*not of its family/);
  refused(() => sets.create({ name: "SMALL", type: "hash:ip,port", family: "IPv4" }), /^create set SMALL: /);
  host.exec("iptables-legacy", ["-A", "INPUT", "-m", "set", "--match-set", "SMALL", "src", "-j", "ACCEPT"]);
  refused(() => sets.destroy("SMALL"), /^destroy set SMALL: .*used by a rule/);
});

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import fc from "fast-check";
import type { Address } from "../../net/address.ts";
import { RCODE, TYPE, type TypeName, tryParseType, typeName } from "./codes.ts";
import { decodeMessage, encodeCopy, type Message, makeQuery } from "./message.ts";
import {
  compareNames,
  escapeLabel,
  isWithin,
  labelsOf,
  longestZone,
  parentOf,
  parseName,
  tryParseName,
} from "./names.ts";
import { parseRecord } from "./parse.ts";
import { Reader, WireError } from "./reader.ts";
import { formatRecord, is, type ResourceRecord, record } from "./record.ts";
import { Writer } from "./writer.ts";

/** What the tests use of dns-packet, an independent codec. */
interface Oracle {
  encode(packet: object): Buffer;
  decode(bytes: Buffer): { questions: object[]; answers: { name: string; type: string; ttl: number; data: unknown }[] };
}
const oracle = createRequire(import.meta.url)("dns-packet") as Oracle;
const writer = new Writer();

const response = (answer: readonly ResourceRecord[], rest: Partial<Message> = {}): Message => ({
  ...makeQuery(7, answer[0]?.name ?? ".", TYPE.ANY),
  qr: true,
  answer,
  ...rest,
});

const label = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((bytes) => escapeLabel(String.fromCharCode(...bytes)));
const name = fc.array(label, { maxLength: 8 }).map((labels) => (labels.length === 0 ? "." : `${labels.join(".")}.`));

test("a name is the same after writing and reading, whatever bytes its labels have", () => {
  fc.assert(
    fc.property(name, name, (first, second) => {
      const message = response([record(first, "CNAME", 1, { host: second }), record(second, "NS", 2, { host: first })]);
      assert.deepEqual(decodeMessage(encodeCopy(writer, message)), message);
      assert.equal(tryParseName(first), first);
    }),
  );
});

test("names are checked for empty and long labels, long names and broken escapes", () => {
  for (const bad of ["a..b", "", ".a", `${"x".repeat(64)}.`, "x.".repeat(128), "a\\", "a\\1", "a\\999"]) {
    assert.equal(tryParseName(bad), undefined, bad);
  }
  assert.equal(tryParseName("x.".repeat(127)), "x.".repeat(127));
  assert.equal(parseName("a\\097\\046b", "c."), "aa\\.b.c.");
  assert.equal(parseName("@", "c."), "c.");
});

test("names are taken apart at unescaped dots only", () => {
  assert.deepEqual(labelsOf("a\\.b.c\\\\.d."), ["a\\.b", "c\\\\", "d"]);
  assert.equal(parentOf("a\\.b.c."), "c.");
  assert.equal(parentOf("c."), ".");
  assert.equal(isWithin("a\\.b.", "b."), false);
  assert.equal(isWithin("a.b.", "b."), true);
  assert.equal(isWithin("ab.", "b."), false);
  assert.equal(longestZone([".", "b.", "a.b."], "x.a.b."), "a.b.");
  assert.ok(compareNames("z.example.", "a.z.example.") < 0);
  assert.ok(compareNames("\\200.example.", "yljkjljk.a.example.") > 0);
});

test("the presentation format of every type survives parsing, wire format and formatting", () => {
  const lines = [
    "a. 1 IN A 192.0.2.1",
    "a. 1 IN AAAA 2001:db8::1",
    "a. 1 IN NS ns.a.",
    "a. 1 IN CNAME b.",
    "a. 1 IN SOA ns.a. hostmaster.a. 4294967295 7200 1800 86400 30",
    "1.0.0.127.in-addr.arpa. 1 IN PTR localhost.",
    "a. 1 IN MX 10 mail.a.",
    'a. 1 IN TXT "one" "two \\"quoted\\" \\\\ \\195\\164"',
    "_http._tcp.a. 1 IN SRV 0 16 80 web.a.",
    'a. 1 IN NAPTR 100 10 "U" "E2U+sip" "!^.*$!sip:x@a!" .',
    'a. 1 IN CAA 0 issue "letsencrypt.org"',
    "a. 1 IN DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    "a. 1 IN DNSKEY 257 3 13 AQIDBA==",
    "a. 1 IN RRSIG A 13 1 3600 20301231235959 20201231235959 12345 a. AQID",
    "a. 1 IN NSEC b. A MX RRSIG NSEC TYPE1234",
    "h.a. 1 IN NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR MX DNSKEY NS SOA NSEC3PARAM RRSIG",
    "a. 1 IN NSEC3PARAM 1 0 0 -",
    "_443._tcp.a. 1 IN TLSA 3 1 1 ABCDEF",
    "a. 1 IN SSHFP 4 2 0123ABCD",
    'a. 1 IN SVCB 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1',
    'a. 1 IN HTTPS 1 svc.a. mandatory=alpn,port alpn="h2" no-default-alpn port=443 ech="AQID" key667="hello"',
    'a. 1 IN HINFO "ANY obsoleted" "See RFC 8482"',
    "a. 1 IN DNAME b.",
    "a. 1 IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 1.00m 10000.00m 10.00m",
    'a. 1 IN URI 10 1 "ftp://ftp.a/public"',
    "a. 1 IN RP me.a. txt.a.",
    "a. 1 IN CERT 1 2 3 AQID",
    "a. 1 IN CSYNC 66 3 A NS AAAA",
    "a. 1 IN ZONEMD 2018031500 1 1 AABB",
    'a. 1 CH TXT "x"',
    "a. 1 IN TYPE65280 \\# 4 0A000001",
    "a. 1 CLASS32 TYPE731 \\# 0",
  ];
  for (const line of lines) {
    const parsed = parseRecord(line);
    const [decoded] = decodeMessage(encodeCopy(writer, response([parsed]))).answer;
    assert.ok(decoded);
    assert.deepEqual(decoded, parsed, line);
    const text = formatRecord(decoded);
    assert.deepEqual(parseRecord(text), parsed, text);
    if (!line.includes("NSEC3 ")) assert.equal(text.replaceAll("\t", " "), line);
  }
});

test("a known type may be given as unknown bytes, which must then be well formed", () => {
  assert.equal(formatRecord(parseRecord("a. 1 IN A \\# 4 C0000201")), "a.\t1\tIN\tA\t192.0.2.1");
  assert.throws(() => parseRecord("a. 1 IN A \\# 3 C00002"), /cut short/);
  assert.throws(() => parseRecord("a. 1 IN A \\# 4 C00002"), /3 bytes, but 4/);
});

test("a record may have parentheses and comments", () => {
  const plain = parseRecord("a. 60 SOA b. c. 1 2 3 4 5");
  assert.deepEqual(parseRecord("a. 60 IN SOA b. c. (1 2 3 4 5)"), plain);
  assert.deepEqual(parseRecord("a. 60 SOA b. c. ( 1 ; serial\n 2 3 4\n5 ) ; end"), plain);
  assert.equal(formatRecord(parseRecord('a. 1 TXT "(;)" \\(x')), 'a.\t1\tIN\tTXT\t"(;)" "(x"');
  for (const text of ["a. TXT (x", "a. TXT x)", "a. TXT )x("])
    assert.throws(() => parseRecord(text), /parentheses do not match/);
});

test("faults in presentation format are named", () => {
  const faults: readonly (readonly [string, RegExp])[] = [
    ["a. IN A 1.2.3", /A address is "1.2.3", must be an IPv4 address/],
    ["a. IN A 1.2.3.4 5", /superfluous word "5"/],
    ["a. IN MX 70000 b.", /MX preference is "70000", must be a number from 0 to 65535/],
    ["a. IN MX 10", /MX host is missing/],
    ["a. IN FOO 10", /"FOO" is not a TTL, class or record type/],
    ["a. IN HTTPS 1 . port=99999", /service parameter port has the bad value/],
    ["a. IN DNSKEY 1 3 8 %%%", /not base64/],
  ];
  for (const [line, fault] of faults) assert.throws(() => parseRecord(line), fault, line);
});

test("names of one message share their suffixes, in the case in which they were written", () => {
  const owner = "web.default.svc.cluster.local.";
  const answer = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map((address) =>
    record(owner, "A", 5, { address: address as Address }),
  );
  const message = { ...response(answer), questions: [{ name: owner, type: TYPE.A, class: 1 }] };
  assert.equal(encodeCopy(writer, message).length, 12 + 31 + 4 + 4 * 16);
  const mixed = response([record("a.Example.", "NS", 1, { host: "ns.example." })]);
  assert.deepEqual(decodeMessage(encodeCopy(writer, mixed)), mixed);
});

test("what does not fit is left out, TC is set, the OPT record stays", () => {
  const edns = { udpSize: 1232, version: 0, do: true, options: [{ code: 10, data: Uint8Array.of(1, 2, 3) }] };
  const answer = Array.from({ length: 100 }, (_, i) =>
    record(`h${i}.example.`, "A", 1, { address: "10.0.0.1" as Address }),
  );
  for (const limit of [60, 512, 700, 1232]) {
    const bytes = encodeCopy(writer, response(answer, { edns, additional: answer }), limit);
    assert.ok(bytes.length <= limit);
    const decoded = decodeMessage(bytes);
    assert.equal(decoded.tc, true);
    assert.deepEqual(decoded.edns, edns);
    assert.deepEqual(decoded.answer, answer.slice(0, decoded.answer.length));
    assert.equal(decoded.additional.length, 0);
  }
});

test("extended response codes go into the OPT record", () => {
  const edns = { udpSize: 512, version: 0, do: false, options: [] };
  const message = { ...makeQuery(1, "a.", TYPE.A, edns), qr: true, rcode: RCODE.BADVERS };
  assert.deepEqual(decodeMessage(encodeCopy(writer, message)), message);
  assert.throws(() => encodeCopy(writer, { ...message, edns: undefined }), /needs EDNS/);
});

test("compression pointers must point back, and end", () => {
  const header = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  const query = (...bytes: number[]) => decodeMessage(Uint8Array.from([...header, ...bytes]));
  assert.throws(() => query(0xc0, 12, 0, 1, 0, 1), WireError, "to itself");
  assert.throws(() => query(0xc0, 14, 0, 0, 1, 0, 1), WireError, "forward");
  assert.throws(() => query(1, 97, 0xc0, 12, 0, 1, 0, 1), WireError, "loop");
  assert.throws(() => query(0x40, 0, 0, 1, 0, 1), WireError, "unknown label kind");
  assert.throws(() => query(5, 97), WireError, "cut short");
  assert.throws(() => query(1, 97, 0, 0, 1, 0, 1, 9), WireError, "bytes left over");
  // A chain of pointers that all point back, as long as a message allows.
  const chain = Array.from({ length: 4000 }, (_, i) =>
    i === 0 ? [0, 0] : [0xc0 | ((10 + 2 * i) >> 8), (10 + 2 * i) & 255],
  ).flat();
  const bytes = Uint8Array.from([...header.slice(0, 5), 0, ...header.slice(6), ...chain]);
  assert.throws(() => new Reader(bytes, bytes.length - 2).domain(), /more pointers/);
});

test("the decoder answers any bytes with a message or a WireError", () => {
  const valid = encodeCopy(
    writer,
    response([parseRecord('a.b.c. IN HTTPS 1 svc.a. alpn="h2"'), parseRecord("a.b.c. IN SOA b.c. c. 1 2 3 4 5")], {
      edns: { udpSize: 4096, version: 0, do: true, options: [{ code: 8, data: Uint8Array.of(0, 1, 24, 0, 1, 2, 3) }] },
    }),
  );
  const mutation = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
  const check = (bytes: Uint8Array) => {
    try {
      const message = decodeMessage(bytes);
      assert.deepEqual(decodeMessage(encodeCopy(writer, message)), message);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 2000 });
  fc.assert(
    fc.property(mutation, fc.nat(valid.length), (changes, cut) => {
      const bytes = Uint8Array.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      check(bytes);
      check(bytes.subarray(0, cut));
    }),
    { numRuns: 5000 },
  );
});

test("dns-packet reads what this codec writes, and the other way round", () => {
  const lines: readonly (readonly [string, unknown])[] = [
    ["a.b. 60 IN A 192.0.2.1", "192.0.2.1"],
    ["a.b. 60 IN AAAA 2001:db8::1", "2001:db8::1"],
    ["a.b. 60 IN CNAME c.b.", "c.b"],
    ["a.b. 60 IN NS c.b.", "c.b"],
    ["a.b. 60 IN PTR c.b.", "c.b"],
    ["a.b. 60 IN DNAME c.b.", "c.b"],
    ["a.b. 60 IN MX 10 c.b.", { preference: 10, exchange: "c.b" }],
    ["a.b. 60 IN SRV 1 2 3 c.b.", { priority: 1, weight: 2, port: 3, target: "c.b" }],
    ['a.b. 60 IN TXT "x y" "z"', [Buffer.from("x y"), Buffer.from("z")]],
    ['a.b. 60 IN HINFO "x" "y"', { cpu: "x", os: "y" }],
    ["a.b. 60 IN TLSA 3 1 1 ABCD", { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from("abcd", "hex") }],
    [`a.b. 60 IN SSHFP 1 1 ${"AB".repeat(20)}`, { algorithm: 1, hash: 1, fingerprint: "AB".repeat(20) }],
    ["a.b. 60 IN DS 1 2 3 ABCD", { keyTag: 1, algorithm: 2, digestType: 3, digest: Buffer.from("abcd", "hex") }],
    [
      "a.b. 60 IN SOA n.b. m.b. 1 2 3 4 5",
      { mname: "n.b", rname: "m.b", serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 },
    ],
    ["a.b. 60 IN NSEC c.b. A NS MX", { nextDomain: "c.b", rrtypes: ["A", "NS", "MX"] }],
    [
      'a.b. 60 IN NAPTR 1 2 "S" "SIP" "x" c.b.',
      { order: 1, preference: 2, flags: "S", services: "SIP", regexp: "x", replacement: "c.b" },
    ],
  ];
  for (const [line, data] of lines) {
    const ours = parseRecord(line);
    const type = typeName(ours.type) as TypeName;
    const [theirs] = oracle.decode(encodeCopy(writer, response([ours]))).answers;
    assert.deepEqual({ ...theirs }, { ...theirs, name: "a.b", type, ttl: 60, data });
    const packet = oracle.encode({
      type: "response",
      id: 7,
      answers: [{ name: "a.b", type, ttl: 60, class: "IN", data }],
    });
    assert.deepEqual(decodeMessage(packet).answer, [ours]);
  }
});

test("type numbers have names both ways", () => {
  assert.equal(tryParseType("type28"), TYPE.AAAA);
  assert.equal(tryParseType("svcb"), TYPE.SVCB);
  assert.equal(tryParseType("TYPE65536"), undefined);
  assert.equal(typeName(65280), "TYPE65280");
  const srv: ResourceRecord = record("a.", "SRV", 1, { priority: 1, weight: 2, port: 3, host: "b." });
  assert.ok(is(srv, "SRV") && srv.data.port === 3);
});

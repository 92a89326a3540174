import assert from "node:assert/strict";
import { test } from "node:test";
import { rcodeName, tryParseType } from "../wire/codes.ts";
import { formatRecord } from "../wire/record.ts";
import { parseZoneFile } from "../zonefile/zonefile.ts";
import { lookUp } from "./lookup.ts";
import { Zone } from "./zone.ts";

const text = `
$TTL 300
@ SOA ns admin 7 7200 1800 86400 60
@ NS ns
@ MX 10 mail
ns A 192.0.2.1
mail A 192.0.2.2
mail AAAA 2001:db8::2
www CNAME web
web A 192.0.2.3
web TXT "t"
out CNAME www.elsewhere.
dangling CNAME nothing
loop1 CNAME loop2
loop2 CNAME loop1
*.wild A 192.0.2.4
*.wild MX 5 mail
deep.ent.wild A 192.0.2.5
*.cwild CNAME web
sub NS ns.sub
sub NS ns.other.
sub DS 1 13 2 ABCD
ns.sub A 192.0.2.6
old DNAME new
host.new A 192.0.2.7
a.b.c A 192.0.2.8
`;
const zone = new Zone("example.", parseZoneFile(text, { file: "db", origin: "example." }));

function ask(name: string, type: string, dnssec = false, of = zone): string {
  const found = lookUp(of, name, tryParseType(type) ?? 0, dnssec);
  const lines = [
    rcodeName(found.rcode) + (found.referral ? " referral" : "") + (found.alias ? ` -> ${found.alias}` : ""),
  ];
  for (const [mark, records] of [
    ["", found.answer],
    ["? ", found.authority],
    ["+ ", found.additional],
  ] as const) {
    for (const record of records)
      lines.push(
        mark +
          formatRecord(record)
            .replaceAll("\t", " ")
            .replace(/ \d+ IN/, ""),
      );
  }
  return lines.join("\n");
}

const soa = "? example. SOA ns.example. admin.example. 7 7200 1800 86400 60";
const ns = "? example. NS ns.example.";
const nodata = `NOERROR\n${soa}`;
const missing = `NXDOMAIN\n${soa}`;
const referral = `NOERROR referral
? sub.example. NS ns.sub.example.
? sub.example. NS ns.other.
+ ns.sub.example. A 192.0.2.6`;

const rows: readonly (readonly [string, string, string])[] = [
  ["web.example.", "A", `NOERROR\nweb.example. A 192.0.2.3\n${ns}`],
  ["WEB.example.", "A", `NOERROR\nWEB.example. A 192.0.2.3\n${ns}`],
  ["web.example.", "AAAA", nodata],
  ["nothing.example.", "A", missing],
  ["example.", "SOA", `NOERROR\n${soa.slice(2)}\n${ns}`],
  ["example.", "NS", `NOERROR\n${ns.slice(2)}\n+ ns.example. A 192.0.2.1`],
  [
    "example.",
    "MX",
    `NOERROR\nexample. MX 10 mail.example.\n${ns}\n+ mail.example. A 192.0.2.2\n+ mail.example. AAAA 2001:db8::2`,
  ],
  ["example.", "A", nodata],
  // Aliases
  ["www.example.", "A", `NOERROR\nwww.example. CNAME web.example.\nweb.example. A 192.0.2.3\n${ns}`],
  ["www.example.", "CNAME", `NOERROR\nwww.example. CNAME web.example.\n${ns}`],
  ["www.example.", "MX", `NOERROR\nwww.example. CNAME web.example.\n${soa}`],
  ["out.example.", "A", "NOERROR -> www.elsewhere.\nout.example. CNAME www.elsewhere."],
  ["dangling.example.", "A", `NXDOMAIN\ndangling.example. CNAME nothing.example.\n${soa}`],
  ["loop1.example.", "A", "NOERROR\nloop1.example. CNAME loop2.example.\nloop2.example. CNAME loop1.example."],
  // Wildcards (RFC 4592)
  ["x.wild.example.", "A", `NOERROR\nx.wild.example. A 192.0.2.4\n${ns}`],
  ["x.y.wild.example.", "A", `NOERROR\nx.y.wild.example. A 192.0.2.4\n${ns}`],
  ["x.wild.example.", "TXT", nodata],
  ["*.wild.example.", "A", `NOERROR\n*.wild.example. A 192.0.2.4\n${ns}`],
  ["wild.example.", "A", nodata],
  ["ent.wild.example.", "A", nodata],
  ["x.ent.wild.example.", "A", missing],
  ["deep.ent.wild.example.", "A", `NOERROR\ndeep.ent.wild.example. A 192.0.2.5\n${ns}`],
  ["x.cwild.example.", "A", `NOERROR\nx.cwild.example. CNAME web.example.\nweb.example. A 192.0.2.3\n${ns}`],
  // Names without records
  ["b.c.example.", "A", nodata],
  ["c.example.", "TXT", nodata],
  ["x.b.c.example.", "A", missing],
  // Delegation
  ["sub.example.", "NS", referral],
  ["a.sub.example.", "A", referral],
  ["ns.sub.example.", "A", referral],
  ["sub.example.", "DS", `NOERROR\nsub.example. DS 1 13 2 ABCD\n${ns}`],
  ["a.sub.example.", "DS", referral],
  // DNAME
  [
    "host.old.example.",
    "A",
    `NOERROR\nold.example. DNAME new.example.\nhost.old.example. CNAME host.new.example.\nhost.new.example. A 192.0.2.7\n${ns}`,
  ],
  ["old.example.", "DNAME", `NOERROR\nold.example. DNAME new.example.\n${ns}`],
  ["old.example.", "A", nodata],
];

test("each rule of authority has its answer", () => {
  for (const [name, type, expected] of rows) assert.equal(ask(name, type), expected, `${name} ${type}`);
});

test("signatures and proofs come along for those who want them", () => {
  const rrsig = (covered: string) => `RRSIG ${covered} 13 1 300 20300101000000 20200101000000 1 s. AQID`;
  const signed = new Zone(
    "s.",
    parseZoneFile(
      `$TTL 300
@ SOA ns admin 7 7200 1800 86400 60
@ ${rrsig("SOA")}
@ NS ns
@ ${rrsig("NS")}
@ NSEC b.s. NS SOA RRSIG NSEC
@ ${rrsig("NSEC")}
b A 192.0.2.1
b ${rrsig("A")}
b NSEC *.w.s. A RRSIG NSEC
b ${rrsig("NSEC")}
*.w A 192.0.2.2
*.w ${rrsig("A")}
*.w NSEC s. A RRSIG NSEC
*.w ${rrsig("NSEC")}
`,
      { file: "db", origin: "s." },
    ),
  );
  const types = (name: string, type: string) =>
    ask(name, type, true, signed)
      .split("\n")
      .map((line) =>
        line
          .split(" ")
          .slice(0, line.startsWith("?") ? 4 : 3)
          .join(" "),
      );
  assert.deepEqual(types("b.s.", "A"), [
    "NOERROR",
    "b.s. A 192.0.2.1",
    "b.s. RRSIG A",
    "? s. NS ns.s.",
    "? s. RRSIG NS",
  ]);
  assert.deepEqual(types("b.s.", "TXT"), [
    "NOERROR",
    "? s. SOA ns.s.",
    "? s. RRSIG SOA",
    "? b.s. NSEC *.w.s.",
    "? b.s. RRSIG NSEC",
  ]);
  assert.deepEqual(types("c.s.", "A"), [
    "NXDOMAIN",
    "? s. SOA ns.s.",
    "? s. RRSIG SOA",
    "? b.s. NSEC *.w.s.",
    "? b.s. RRSIG NSEC",
    "? s. NSEC b.s.",
    "? s. RRSIG NSEC",
  ]);
  assert.deepEqual(types("x.w.s.", "A").slice(0, 3), ["NOERROR", "x.w.s. A 192.0.2.2", "x.w.s. RRSIG A"]);
  assert.ok(types("x.w.s.", "A").includes("? *.w.s. NSEC s."));
});

test("a zone needs one SOA record, and keeps what is outside of it out", () => {
  const parse = (zoneText: string) => new Zone("a.", parseZoneFile(zoneText, { file: "db", origin: "a." }));
  assert.throws(() => parse("@ 1 A 192.0.2.1"), /zone a\. has no SOA record/);
  assert.throws(() => parse("@ 1 SOA a b 1 2 3 4 5\n@ 1 SOA a b 2 2 3 4 5"), /more than one SOA/);
  assert.equal(parse("@ 1 SOA a b 1 2 3 4 5\nx.b. 1 A 192.0.2.1").size, 1);
});

test("a transfer begins and ends with the SOA record and has every other one once", () => {
  const records = [...zone.transfer()];
  assert.equal(records.length, zone.size + 1);
  assert.equal(records[0], zone.soa);
  assert.equal(records.at(-1), zone.soa);
});

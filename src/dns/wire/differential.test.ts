import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import fc from "fast-check";
import { parseZoneFile } from "../zonefile/zonefile.ts";
import { decodeMessage, encodeCopy, makeQuery } from "./message.ts";
import { parseName } from "./names.ts";
import { parseRecord } from "./parse.ts";
import { WireError } from "./reader.ts";
import { formatRecord } from "./record.ts";
import { Writer } from "./writer.ts";

/** What the tests use of bns, an independent codec and reader of zone files. */
interface Oracle {
  readonly Message: { new (): OracleMessage; decode(bytes: Uint8Array): OracleMessage };
  readonly Record: { fromString(text: string): OracleRecord };
  fromZone(text: string, origin: string): readonly OracleRecord[];
}
interface OracleMessage {
  id: number;
  qr: boolean;
  readonly question: { readonly name: string; readonly type: number; readonly class: number }[];
  readonly answer: OracleRecord[];
  encode(): Buffer;
}
interface OracleRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  encode(): Buffer;
}
// Its own cryptography, which it loads with the codec, is left out where it was not compiled.
process.env.NODE_BACKEND = "js";
const oracle = createRequire(import.meta.url)("bns/lib/wire") as Oracle;
const writer = new Writer();

/** The bytes of a record alone, without compression. */
function encode(text: string): Buffer {
  const message = { ...makeQuery(7, ".", 1), qr: true, rd: false, questions: [], answer: [parseRecord(text)] };
  writer.uncompressed = true;
  try {
    return encodeCopy(writer, message).subarray(12);
  } finally {
    writer.uncompressed = false;
  }
}

const label = fc.stringMatching(/^[a-z0-9_][a-z0-9_-]{0,20}$/);
const domain = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => `${labels.join(".")}.`);
const u8 = fc.nat(255);
const u16 = fc.nat(65535);
const u32 = fc.nat(0xffffffff);
const seconds = fc.nat(0x7fffffff);
const hex = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("hex"));
const base64 = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("base64"));
const text = fc
  .stringMatching(/^[ -~]{0,40}$/)
  .map((raw) => `"${raw.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`);
const word = fc.stringMatching(/^[a-z0-9]{1,10}$/);
const types = fc.subarray(["A", "NS", "SOA", "MX", "TXT", "AAAA", "SRV", "DS", "RRSIG", "NSEC", "DNSKEY", "CAA"], {
  minLength: 1,
});
const time = fc
  .date({ min: new Date("2000-01-01"), max: new Date("2100-01-01"), noInvalidDate: true })
  .map((date) => date.toISOString().replace(/\D/g, "").slice(0, 14));

/** The data of each type in presentation format, as parts that are joined with blanks. */
const data: Readonly<Record<string, readonly fc.Arbitrary<unknown>[]>> = {
  A: [fc.ipV4()],
  AAAA: [fc.ipV6()],
  CNAME: [domain],
  NS: [domain],
  PTR: [domain],
  DNAME: [domain],
  MX: [u16, domain],
  SRV: [u16, u16, u16, domain],
  SOA: [domain, domain, u32, seconds, seconds, seconds, seconds],
  TXT: [fc.array(text, { minLength: 1, maxLength: 4 }).map((texts) => texts.join(" "))],
  HINFO: [text, text],
  RP: [domain, domain],
  AFSDB: [u16, domain],
  KX: [u16, domain],
  NAPTR: [u16, u16, text, text, text, domain],
  CAA: [u8, word, text],
  DS: [u16, u8, u8, hex],
  DNSKEY: [u16, fc.constant(3), u8, base64],
  RRSIG: [fc.constant("A"), u8, u8, u32, time, time, u16, domain, base64],
  NSEC: [domain, types.map((list) => list.join(" "))],
  TLSA: [u8, u8, u8, hex],
  SSHFP: [u8, u8, hex],
  OPENPGPKEY: [base64],
};
const line = fc
  .constantFrom(...Object.keys(data))
  .chain((type) =>
    fc
      .tuple(domain, seconds, ...(data[type] ?? []))
      .map(([name, ttl, ...parts]) => `${name} ${ttl} IN ${type} ${parts.join(" ")}`),
  );

test("records have the bytes that bns gives them", () => {
  fc.assert(
    fc.property(line, (record) => {
      assert.equal(encode(record).toString("hex"), oracle.Record.fromString(record).encode().toString("hex"), record);
    }),
    { numRuns: 1500 },
  );
});

test("messages that bns has compressed are read as the records that went in", () => {
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 8 }), u16, (lines, id) => {
      const message = new oracle.Message();
      message.id = id;
      message.qr = true;
      message.answer.push(...lines.map((record) => oracle.Record.fromString(record)));
      assert.deepEqual(
        decodeMessage(message.encode()).answer,
        lines.map((record) => parseRecord(record)),
      );
    }),
    { numRuns: 300 },
  );
});

test("messages that are compressed here are read by bns as the records that went in", () => {
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 8 }), (lines) => {
      const answer = lines.map((record) => parseRecord(record));
      const bytes = encodeCopy(writer, { ...makeQuery(7, "a.", 1), qr: true, answer });
      const theirs = oracle.Message.decode(bytes).answer.map((record) => record.encode().toString("hex"));
      assert.deepEqual(
        theirs,
        lines.map((record) => encode(record).toString("hex")),
      );
    }),
    { numRuns: 300 },
  );
});

test("of bytes that both take for a message, both read the same questions and owners", () => {
  const valid = encodeCopy(writer, {
    ...makeQuery(7, "www.example.org.", 1),
    qr: true,
    answer: [
      parseRecord("www.example.org. 60 IN CNAME a.example.org."),
      parseRecord("a.example.org. 5 IN A 192.0.2.1"),
    ],
  });
  const mutation = fc.array(fc.tuple(fc.nat(valid.length - 1), u8), { minLength: 1, maxLength: 4 });
  let both = 0;
  fc.assert(
    fc.property(mutation, (changes) => {
      const bytes = Buffer.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      let ours: ReturnType<typeof decodeMessage>;
      let theirs: OracleMessage;
      try {
        ours = decodeMessage(bytes);
      } catch (error) {
        assert.ok(error instanceof WireError);
        return;
      }
      try {
        theirs = oracle.Message.decode(bytes);
      } catch {
        return;
      }
      both++;
      assert.deepEqual(
        ours.questions.map(({ name, type, class: cls }) => [name, type, cls]),
        theirs.question.map(({ name, type, class: cls }) => [parseName(name), type, cls]),
      );
      assert.deepEqual(
        ours.answer.map(({ name, type, class: cls }) => [name, type, cls]),
        theirs.answer.map(({ name, type, class: cls }) => [parseName(name), type, cls]),
      );
    }),
    { numRuns: 2000 },
  );
  assert.ok(both > 200);
});

test("a zone file has the records that bns finds in it", () => {
  const file = `$ORIGIN example.org.
$TTL 3600
@ IN SOA ns hostmaster 2024010101 7200 1800 604800 300
@ IN NS ns
@ IN NS ns.elsewhere.net.
ns 60 IN A 192.0.2.1
*.w IN TXT "a text" "and another"
www IN CNAME ns
_sip._udp IN SRV 1 2 5060 ns
mail IN MX 10 ns
$ORIGIN sub.example.org.
a IN AAAA 2001:db8::1
`;
  const options = { file: "db", origin: "example.org.", readFile: () => "", maxRecords: 100 };
  const ours = [...parseZoneFile(file, options)].map((record) => encode(formatRecord(record)).toString("hex"));
  const theirs = oracle.fromZone(file, "example.org.").map((record) => record.encode().toString("hex"));
  assert.deepEqual(ours, theirs);
});

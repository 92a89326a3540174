import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type DnsProcess, dig, freePort, startDns } from "./support.ts";

let primary: DnsProcess;
let secondary: DnsProcess;
let first: number;
let second: number;
let listed: number;

const many = 3000;
const zone = (serial: number, more = "") => `$TTL 60
@ SOA ns admin ${serial} 3600 600 86400 30
@ NS ns
ns A 192.0.2.1
$GENERATE 1-${many} h$ TXT "a text that makes the zone longer than one message"
${more}`;

/** A catalog of these zones (RFC 9432). */
const catalog = (serial: number, ...members: readonly string[]) => `@ 0 SOA invalid. invalid. ${serial} 60 60 86400 0
@ 0 NS invalid.
version 0 TXT 2
${members.map((member) => `${member.split(".")[0]}.zones 0 PTR ${member}.\n`).join("")}`;

before(async () => {
  first = await freePort();
  second = await freePort();
  listed = await freePort();
  secondary = await startDns({
    Corefile: `example:${second} {\n bind 127.0.0.1\n secondary {\n transfer from 127.0.0.1:${first}\n }\n}
    .:${listed} {\n bind 127.0.0.1\n secondary cat {\n transfer from 127.0.0.1:${first}\n catalog\n }\n}`,
  });
  primary = await startDns({
    Corefile: `example:${first} {
      bind 127.0.0.1
      file db.example {\n reload 200ms\n }
      transfer {\n to 127.0.0.1:${second}\n }
    }
    cat:${first} {
      bind 127.0.0.1
      file db.cat {\n reload 200ms\n }
      transfer {\n to 127.0.0.1:${listed}\n }
    }
    one.test:${first} two.test:${first} three.test:${first} {
      bind 127.0.0.1
      file db.member
      transfer {\n to *\n }
    }
    auto:${first} {
      bind 127.0.0.1
      auto {\n directory . auto\\.(.*) {1}.auto\n reload 200ms\n }
    }`,
    "db.example": zone(1),
    "db.cat": catalog(1, "one.test", "two.test"),
    "db.member": "@ 60 SOA ns admin 1 2 3 4 5\nwww 60 A 192.0.2.21\n",
    "auto.one": "@ 60 SOA ns admin 1 2 3 4 5\nwww 60 A 192.0.2.11\n",
  });
});

after(async () => {
  await primary.stop();
  await secondary.stop();
});

/** Waits until a question has this answer. */
async function until(port: number, question: readonly string[], expected: string): Promise<void> {
  let answer = "";
  for (let i = 0; i < 100; i++) {
    answer = dig(port, ...question).join("\n");
    if (answer === expected) return;
    await delay(100);
  }
  assert.equal(answer, expected);
}

test("dig gets a whole zone in several messages, over TCP only, and only from allowed addresses", () => {
  const records = dig(first, "example.", "AXFR");
  assert.equal(records.length, many + 4);
  assert.match(records[0] ?? "", /^example\. 60 IN SOA ns\.example\. admin\.example\. 1 /);
  assert.equal(records[0], records.at(-1));
  assert.equal(new Set(records).size, many + 3);
  assert.equal(dig(second, "example.", "AXFR").join(), "");
});

test("a secondary fetches the zone, and follows changes at once", async () => {
  await until(
    second,
    ["h7.example.", "TXT"],
    'h7.example. 60 IN TXT "a text that makes the zone longer than one message"',
  );
  primary.write("db.example", zone(2, "new A 192.0.2.99"));
  await until(first, ["new.example."], "new.example. 60 IN A 192.0.2.99");
  await until(second, ["new.example."], "new.example. 60 IN A 192.0.2.99");
});

test("a fault in a changed zone file leaves the old zone", async () => {
  primary.write("db.example", `${zone(3)}\nbad A nonsense\n`);
  await primary.until(/the old zone example\. goes on: .*db\.example:\d+: A address is "nonsense"/);
  assert.equal(dig(first, "ns.example.").length, 1);
});

test("plugin auto serves files as they appear and disappear", async () => {
  assert.deepEqual(dig(first, "www.one.auto."), ["www.one.auto. 60 IN A 192.0.2.11"]);
  primary.write("auto.two", "@ 60 SOA ns admin 1 2 3 4 5\nwww 60 A 192.0.2.12\n");
  await until(first, ["www.two.auto."], "www.two.auto. 60 IN A 192.0.2.12");
});

test("a secondary has the zones that a catalog lists, as long as it lists them", async () => {
  const answer = (name: string) => `www.${name}.test. 60 IN A 192.0.2.21`;
  await until(listed, ["www.one.test."], answer("one"));
  await until(listed, ["www.two.test."], answer("two"));
  assert.deepEqual(dig(listed, "www.three.test."), []);
  primary.write("db.cat", catalog(2, "two.test", "three.test"));
  await until(listed, ["www.three.test."], answer("three"));
  assert.deepEqual(dig(listed, "www.one.test."), []);
  assert.deepEqual(dig(listed, "www.two.test."), [answer("two")]);
});

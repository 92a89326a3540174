import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("the first line that fits type and client decides", async () => {
  const server = await serve(`. {
    acl example. {
      allow type A net 192.0.2.0/28
      block net 192.0.2.0/24
      filter type TXT
      drop net 2001:db8::1
    }
    acl other. {
      block type ANY
    }
    whoami
  }`);
  const rows: readonly (readonly [string, string, string])[] = [
    ["a.example A", "192.0.2.1", "NOERROR"],
    ["a.example AAAA", "192.0.2.1", "REFUSED"],
    ["a.example A", "192.0.2.99", "REFUSED"],
    ["a.example TXT", "203.0.113.1", "NOERROR"],
    ["a.example MX", "203.0.113.1", "NOERROR"],
    ["a.example A", "2001:db8::1", "dropped"],
    ["a.other ANY", "203.0.113.1", "REFUSED"],
    ["a.third ANY", "203.0.113.1", "NOERROR"],
  ];
  for (const [question, from, expected] of rows) {
    assert.equal((await server.text(question, { from })).split(/[ \n]/)[0], expected, `${question} ${from}`);
  }
  assert.equal((await server.ask("a.example TXT", { from: "203.0.113.1" }))?.additional.length, 0);
  const edns = { udpSize: 1232, version: 0, do: false, options: [] };
  const blocked = await server.ask("a.example A", { message: { edns } });
  assert.deepEqual(blocked?.edns?.options, [{ code: 15, data: Uint8Array.of(0, 15) }]);
  assert.equal(server.metric('coredns_acl_blocked_requests_total{server="dns://:53",zone="example.",view=""}'), 3);
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [line, fault] of [
    ["permit", /unknown property 'permit'/],
    ["block type NOTYPE", /not a record type/],
    ["block net 1.2.3", /not an address or prefix/],
    ["block 10.0.0.0/8", /must follow type or net/],
    ["block type net 10.0.0.0/8", /type needs record types/],
    ["block type A net", /net needs networks/],
  ] as const) {
    await assert.rejects(serve(`. {\n acl {\n ${line}\n }\n}`), fault, line);
  }
});

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { serve } from "../../testing.ts";
import { type ScriptedServer, scriptedServer } from "../../testserver.ts";

let upstream: ScriptedServer;
before(async () => {
  upstream = await scriptedServer();
});
beforeEach(() => upstream.reset());
after(() => upstream.close());

const run = (rules: string) => serve(`. {\n ${rules}\n forward . 127.0.0.1:${upstream.port}\n}`);

test("names are rewritten, and answers turned back where that is wanted", async () => {
  upstream.otherwise = [
    "a.new. 60 IN A 192.0.2.1",
    "b.x.new. 60 IN CNAME a.new.",
    "additional q.new. 9 IN A 192.0.2.2",
  ];
  const cases: readonly (readonly [rule: string, asked: string, forwarded: string, answer: RegExp])[] = [
    ["name a.old a.new", "A.old. A", "a.new. A", /\nA.old. 60 A 192.0.2.1\nb.x.new. 60 CNAME a.new./],
    ["name exact a.old a.new", "b.old. A", "b.old. A", /\na.new. 60 A/],
    ["name suffix .old .new", "a.old. A", "a.new. A", /\na.new. 60 A/],
    [
      "name suffix .old. .new. answer auto",
      "a.old. A",
      "a.new. A",
      /\na.old. 60 A 192.0.2.1\nb.x.old. 60 CNAME a.new.\nadditional q.old/,
    ],
    ["name prefix x- a", "x-.new. A", "a.new. A", /\na.new. 60 A/],
    ["name substring mid b.x", "mid.new. A", "b.x.new. A", /\na.new. 60 A/],
    ["name regex (.*)-(.*)\\.old {2}.{1}.new", "x-b.old. A", "b.x.new. A", /\na.new. 60 A/],
    ["name regex (.*)\\.old {1}.new answer auto", "a.old. A", "a.new. A", /\na.old. 60 A/],
    [
      "name regex (.*)\\.old {1}.new answer name (.*)\\.new {1}.old answer value (.*)\\.new {1}.old",
      "a.old. A",
      "a.new. A",
      /\na.old. 60 A 192.0.2.1\nb.x.old. 60 CNAME a.old./,
    ],
    [
      "stop {\n name regex (.*)\\.old {1}.new\n answer name (.*)\\.new {1}.old\n }",
      "a.old. A",
      "a.new. A",
      /\na.old. 60 A/,
    ],
  ];
  for (const [rule, asked, forwarded, answer] of cases) {
    const server = await run(`rewrite ${rule}`);
    const reply = await server.ask(asked);
    assert.equal(upstream.questions.at(-1), `udp ${forwarded}`, rule);
    assert.equal(reply?.questions[0]?.name, asked.split(" ")[0], rule);
    assert.match(await server.text(asked), answer, rule);
    server.stop();
  }
});

test("rules are tried in order; the first that matches ends it unless it says continue", async () => {
  const server = await run("rewrite continue name a.x b.x\n rewrite name b.x c.x\n rewrite name c.x d.x");
  upstream.otherwise = ["c.x. 60 IN A 192.0.2.1"];
  assert.equal(await server.text("a.x. A"), "NOERROR ra\na.x. 60 A 192.0.2.1");
  assert.equal(upstream.questions.at(-1), "udp c.x. A");
  server.stop();
});

test("types, classes, TTLs and codes are rewritten", async () => {
  const server = await run(
    "rewrite type ANY HINFO\n rewrite ttl suffix example. 30-60\n rewrite rcode regex .* SERVFAIL NXDOMAIN",
  );
  upstream.otherwise = ["SERVFAIL"];
  assert.equal(await server.text("x. ANY"), "SERVFAIL ra");
  assert.equal(upstream.questions.at(-1), "udp x. HINFO");
  assert.equal(await server.text("x. A"), "NXDOMAIN ra");
  for (const [ttl, expected] of [
    [5, 30],
    [45, 45],
    [900, 60],
  ]) {
    upstream.otherwise = [`a.example. ${ttl} IN A 192.0.2.1`];
    assert.equal(await server.text("a.example. A"), `NOERROR ra\na.example. ${expected} A 192.0.2.1`);
  }
  server.stop();
});

test("aliases in answers are led elsewhere", async () => {
  const server = await run("rewrite cname old.cdn. new.cdn.");
  upstream.script["www.example. A"] = ["www.example. 60 IN CNAME old.cdn.", "old.cdn. 60 IN A 192.0.2.1"];
  upstream.script["new.cdn. A"] = ["new.cdn. 60 IN A 192.0.2.2"];
  assert.equal(
    await server.text("www.example. A"),
    "NOERROR ra\nwww.example. 60 CNAME new.cdn.\nnew.cdn. 60 A 192.0.2.2",
  );
  server.stop();
});

test("EDNS options are set, added, replaced and removed", async () => {
  const cases: readonly (readonly [
    string,
    readonly (readonly [number, string])[],
    readonly (readonly [number, string])[],
  ])[] = [
    ["edns0 local set 0xffee 0x6162", [], [[0xffee, "6162"]]],
    ["edns0 local set 0xffee text", [[0xffee, "00"]], [[0xffee, "74657874"]]],
    ["edns0 local append 0xffee 0x61", [[0xffee, "00"]], [[0xffee, "00"]]],
    ["edns0 local replace 0xffee 0x61", [], []],
    ["edns0 local unset 0xffee", [[0xffee, "00"]], []],
    ["edns0 local set 0xffee {client_ip}", [], [[0xffee, "c0000263"]]],
    ["edns0 nsid set", [], [[3, ""]]],
    ["edns0 subnet set 20 56", [], [[8, "00011400c00000"]]],
  ];
  for (const [rule, given, expected] of cases) {
    const server = await run(`rewrite ${rule}`);
    const options = given.map(([code, hex]) => ({ code, data: new Uint8Array(Buffer.from(hex, "hex")) }));
    await server.ask("a. A", { message: { edns: { udpSize: 1232, version: 0, do: false, options } } });
    const got = upstream.last?.edns?.options.map(({ code, data }) => [code, Buffer.from(data).toString("hex")]);
    assert.deepEqual(got, expected, rule);
    server.stop();
  }
});

test("faults of the directive are reported", async () => {
  for (const [rule, fault] of [
    ["", /needs a field/],
    ["foo a b", /'foo' is not a field/],
    ["name a", /name needs/],
    ["name regex ( b", /Unterminated group|Invalid regular/],
    ["name a b answer", /answer needs/],
    ["ttl a x", /ttl needs/],
    ["rcode a FOO BAR", /rcode needs/],
    ["type A NOTYPE", /'NOTYPE' is not a type of records/],
    ["class IN", /class needs what to rewrite/],
    ["edns0 local foo 1 2", /must be one of set, append/],
    ["edns0 subnet set 33 56", /subnet needs/],
  ] as const) {
    await assert.rejects(run(`rewrite ${rule}`), fault, rule);
  }
});

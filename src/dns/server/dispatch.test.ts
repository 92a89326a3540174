import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { loadOnly, serve } from "../testing.ts";
import { CLASS, OPCODE, RCODE, TYPE } from "../wire/codes.ts";
import { decodeMessage, encodeCopy, type Message, makeQuery } from "../wire/message.ts";
import { Writer } from "../wire/writer.ts";
import type { Client } from "./query.ts";

const writer = new Writer();
const client: Client = {
  protocol: "udp",
  family: "IPv4",
  address: "192.0.2.99",
  port: 40212,
  localAddress: "192.0.2.53",
  localPort: 53,
};
const large = `. {\n erratic {\n drop 0\n large\n }\n}`;

/** A server that is asked with bytes; undefined if it sends nothing. */
async function raw(corefile: string) {
  const server = await serve(corefile);
  const dispatcher = server.instance.wanted[0]?.dispatcher;
  const ask = (bytes: Uint8Array, from = client): Promise<Buffer | undefined> =>
    new Promise((resolve) => {
      assert.ok(dispatcher);
      dispatcher.handle(bytes, from, (reply) => resolve(reply === undefined ? undefined : Buffer.from(reply)));
    });
  return { server, ask };
}

const query = (changes: Partial<Message> = {}) => encodeCopy(writer, { ...makeQuery(7, "a.", TYPE.A), ...changes });

test("messages that are no queries get no reply, odd ones a bare code", async () => {
  const { server, ask } = await raw(large);
  const code = async (bytes: Uint8Array) => {
    const reply = await ask(bytes);
    return reply === undefined ? undefined : [reply.length, (reply[3] ?? 0) & 15, (reply[2] ?? 0) & 0x80];
  };
  const question = { name: "a.", type: 1, class: 1 };
  assert.equal(await code(query({ qr: true })), undefined, "a response");
  assert.equal(await code(query().subarray(0, 11)), undefined, "half a header");
  assert.deepEqual(await code(query({ opcode: OPCODE.UPDATE })), [12, RCODE.NOTIMP, 0x80]);
  assert.deepEqual(await code(query({ opcode: OPCODE.IQUERY })), [12, RCODE.NOTIMP, 0x80]);
  assert.deepEqual(await code(query({ questions: [] })), [12, RCODE.FORMERR, 0x80]);
  assert.deepEqual(await code(query({ questions: [question, question] })), [12, RCODE.FORMERR, 0x80]);
  assert.deepEqual(await code(query().subarray(0, 14)), [12, RCODE.FORMERR, 0x80], "half a question");
  assert.deepEqual(await code(Buffer.concat([query(), Buffer.from([0])])), [12, RCODE.FORMERR, 0x80], "too much");
  server.stop();
});

test("other classes are refused, as are names of no zone", async () => {
  const { server, ask } = await raw("test {\n whoami\n}");
  for (const [name, cls, rcode] of [
    ["a.test.", CLASS.IN, RCODE.NOERROR],
    ["a.test.", CLASS.CH, RCODE.REFUSED],
    ["a.test.", CLASS.ANY, RCODE.REFUSED],
    ["a.test.", 4711, RCODE.REFUSED],
    ["a.other.", CLASS.IN, RCODE.REFUSED],
  ] as const) {
    const reply = await ask(query({ questions: [{ name, type: TYPE.A, class: cls }] }));
    assert.equal(reply && decodeMessage(reply).rcode, rcode, `${name} ${cls}`);
  }
  server.stop();
});

test("a name comes back in the case in which it was asked for", async () => {
  const { server, ask } = await raw(large);
  const name = "wWw.ExAmPlE.oRg.";
  const reply = await ask(query({ questions: [{ name, type: TYPE.A, class: CLASS.IN }] }));
  const message = reply && decodeMessage(reply);
  assert.deepEqual([message?.questions[0]?.name, message?.answer[0]?.name], [name, name]);
  server.stop();
});

test("over UDP a reply is never larger than 4096 bytes, nor than the client takes, and at least 512 are taken", async () => {
  const { server, ask } = await raw(
    `. {\n template IN A {\n ${'answer "{{.Name}} 1 IN TXT x{{.Name}}"\n '.repeat(300)}}\n}`,
  );
  for (const [announced, most] of [
    [undefined, 512],
    [0, 512],
    [600, 600],
    [1232, 1232],
    [65535, 4096],
  ] as const) {
    const edns = announced === undefined ? undefined : { udpSize: announced, version: 0, do: false, options: [] };
    const reply = await ask(query({ edns }));
    assert.ok(
      reply !== undefined && reply.length <= most && reply.length > most - 100,
      `${announced}: ${reply?.length}`,
    );
    assert.equal(decodeMessage(reply).tc, true);
  }
  const whole = await ask(query(), { ...client, protocol: "tcp" });
  assert.equal(whole && decodeMessage(whole).answer.length, 300);
  server.stop();
});

test("a reply to a code that is no query of ours is not larger than the query", async () => {
  const { server, ask } = await raw("test {\n whoami\n}");
  for (const bytes of [query(), query({ opcode: OPCODE.STATUS }), query({ questions: [] })]) {
    const reply = await ask(bytes);
    assert.ok(reply !== undefined && reply.length <= bytes.length);
  }
  server.stop();
});

test("options and versions of EDNS that nobody knows are not echoed, and harm nobody", async () => {
  const { server, ask } = await raw(large);
  const edns = { udpSize: 1232, version: 0, do: true, options: [{ code: 65001, data: new Uint8Array(400) }] };
  const reply = await ask(query({ edns }));
  assert.deepEqual(reply && decodeMessage(reply).edns, { udpSize: 1232, version: 0, do: true, options: [] });
  const next = await ask(query({ edns: { ...edns, version: 3 } }));
  assert.equal(next && decodeMessage(next).rcode, RCODE.BADVERS);
  server.stop();
});

test("any bytes get a reply that can be read and has their id, or none", async () => {
  const { server, ask } = await raw(large);
  const valid = query({ edns: { udpSize: 1232, version: 0, do: false, options: [] } });
  const check = async (bytes: Uint8Array) => {
    const reply = await ask(bytes);
    if (reply === undefined) return;
    assert.deepEqual([...reply.subarray(0, 2)], [...bytes.subarray(0, 2)]);
    assert.equal(decodeMessage(reply).qr, true);
    assert.ok(reply.length <= 4096);
  };
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), check), { numRuns: 500 });
  const change = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(change, async (changes) => {
      const bytes = Buffer.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      await check(bytes);
    }),
    { numRuns: 2000 },
  );
  server.stop();
});

test("a Corefile without a server block is refused", async () => {
  for (const text of ["", "# nothing\n", "(snippet) {\n whoami\n}\n"]) {
    await assert.rejects(loadOnly(text), /Corefile:1: there is no server block/);
  }
});

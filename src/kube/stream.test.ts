import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ListPart, readList, readText, readWatch, StreamError } from "./stream.ts";

/** The text in pieces of these lengths, over and over. */
async function* inPieces(text: string, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const end = at + (lengths[i % lengths.length] ?? 1);
    yield bytes.subarray(at, end);
    at = end;
  }
}

async function collect<T>(parts: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const part of parts) all.push(part);
  return all;
}

async function listOf(text: string, lengths: readonly number[], limit?: number): Promise<[unknown[], unknown]> {
  const parts = await collect<ListPart>(readList(inPieces(text, lengths), limit));
  const end = parts.at(-1);
  assert.ok(end?.kind === "end");
  return [parts.flatMap((part) => (part.kind === "items" ? part.items : [])), end.list];
}

const pieces = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 });
const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 });

test("the events of a watch are read however they are cut", async () => {
  const type = fc.constantFrom("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR");
  const events = fc.array(fc.record({ type, object }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(events, pieces, async (sent, lengths) => {
      const text = sent.map((event) => `${JSON.stringify(event)}\n`).join("");
      const received = (await collect(readWatch(inPieces(text, lengths)))).flat();
      assert.deepEqual(received, JSON.parse(JSON.stringify(sent)));
    }),
  );
});

test("the items of a list are read however it is cut and its fields are ordered", async () => {
  const lists = fc.record({ before: object, items: fc.array(object, { maxLength: 6 }), after: object });
  await fc.assert(
    fc.asyncProperty(
      lists,
      pieces,
      fc.constantFrom(undefined, 2),
      async ({ before, items, after }, lengths, indent) => {
        const list = { metadata: { ...before, x: { items: [1] } }, y: "items", items, z: [[after]] };
        const expected = JSON.parse(JSON.stringify({ ...list, items: [] }));
        const received = await listOf(JSON.stringify(list, null, indent), lengths);
        assert.deepEqual(received, [JSON.parse(JSON.stringify(items)), expected]);
      },
    ),
  );
});

test("a list whose items are null is empty", async () => {
  assert.deepEqual(await listOf('{"items":null,"metadata":{}}', [5]), [[], { items: null, metadata: {} }]);
});

test("a watch that is cut off in the middle of a line leaves that line out", async () => {
  const text = '{"type":"ADDED","object":{}}\n{"type":"ADDED","obj';
  assert.deepEqual((await collect(readWatch(inPieces(text, [7])))).flat(), [{ type: "ADDED", object: {} }]);
});

test("events before garbage are delivered before the error", async () => {
  const received: unknown[] = [];
  const read = async () => {
    const text = '{"type":"ADDED","object":{"a":1}}\n<html>\n{"type":"ADDED","object":{}}\n';
    for await (const events of readWatch(inPieces(text, [1000]))) received.push(...events);
  };
  await assert.rejects(read, /^StreamError: The server sent "<html>" as an event of the watch: that is no JSON$/);
  assert.deepEqual(received, [{ type: "ADDED", object: { a: 1 } }]);
});

const badWatches: readonly (readonly [string, RegExp])[] = [
  ["[]\n", /sent "\[\]" as an event/],
  ["null\n", /sent "null" as an event/],
  ['{"type":"GONE","object":{}}\n', /as an event of the watch/],
  [`{"type":"ADDED","object":"${"x".repeat(2000)}"}\n`, /an event of more than 1000 bytes/],
  ["x".repeat(5000), /an event of more than 1000 bytes/],
];

for (const [text, message] of badWatches) {
  test(`a watch with ${JSON.stringify(text.slice(0, 30))} ends in one clear error`, async () => {
    await assert.rejects(collect(readWatch(inPieces(text, [300]), 1000)), message);
  });
}

const badLists: readonly (readonly [string, RegExp])[] = [
  ["", /as a list: that is no JSON/],
  ["<html></html>", /as a list: that is no JSON/],
  ['{"items":[{"a":1},{"b"', /ended in the middle/],
  ['{"items":[{"a":1}', /ended in the middle/],
  ['{"items":[{"a":}]}', /as an item of the list: that is no JSON/],
  ['{"items":[1]}', /an item that is no object/],
  ['{"items":["a"]}', /an item that is no object/],
  ['{"items":[[]]}', /an item that is no object/],
  [`{"items":[{"a":"${"x".repeat(2000)}"}]}`, /an item of the list of more than 1000 bytes/],
  [`{"a":"${"x".repeat(2 << 20)}"}`, /the list without its items of more than/],
  ["}}}", /ended in the middle/],
];

for (const [text, message] of badLists) {
  test(`a list of ${JSON.stringify(text.slice(0, 30))} ends in one clear error`, async () => {
    await assert.rejects(listOf(text, [300], 1000), message);
  });
}

test("whatever bytes arrive, a reader ends in data or a StreamError", async () => {
  const byte = fc.constantFrom(...'{}[]":,\\\n1a ', '"items":[', '{"type":"ADDED","object":', "é");
  await fc.assert(
    fc.asyncProperty(fc.array(byte, { maxLength: 40 }), pieces, async (parts, lengths) => {
      const text = parts.join("");
      for (const read of [readWatch, readList]) {
        await collect<unknown>(read(inPieces(text, lengths))).catch((error: unknown) => {
          assert.ok(error instanceof StreamError, String(error));
        });
      }
    }),
    { numRuns: 1000 },
  );
});

test("an answer is read up to its limit", async () => {
  assert.equal(await readText(inPieces("häppy", [1]), 6), "häppy");
  await assert.rejects(readText(inPieces("1234567", [1]), 6), /an answer of more than 6 bytes/);
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { constants, createDeflate, type Deflate } from "node:zlib";
import fc from "fast-check";
import { type Frame, readSpdyFrame, SpdyConnection, type SpdyStream, writeSpdyFrame } from "./spdy.ts";
import { dictionary, emptyBlock, formatHeaders, HeaderReader, parseHeaders } from "./spdyheaders.ts";

/** The header blocks of a client. */
class Writer {
  readonly #deflate: Deflate = createDeflate({ dictionary });
  readonly #parts: Buffer[] = [];

  constructor() {
    this.#deflate.on("data", (bytes: Buffer) => this.#parts.push(bytes));
  }

  async block(headers: Readonly<Record<string, string>>): Promise<Buffer> {
    this.#deflate.write(formatHeaders(new Map(Object.entries(headers))));
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    return Buffer.concat(this.#parts.splice(0));
  }
}

const number = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

test("the dictionary is the one of the protocol", () => {
  let [a, b] = [1, 0];
  for (const byte of dictionary) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  assert.deepEqual([dictionary.length, (b * 65_536 + a).toString(16)], [1423, "e3c6a7c2"]);
});

test("header blocks of one connection are read one after the other", async () => {
  const writer = new Writer();
  const reader = new HeaderReader();
  for (const streamtype of ["error", "stdin", "stdout"]) {
    assert.deepEqual(
      await reader.read(await writer.block({ streamtype, port: "80" })),
      new Map([
        ["streamtype", streamtype],
        ["port", "80"],
      ]),
    );
  }
  reader.close();
  const own = new HeaderReader();
  assert.deepEqual([await own.read(emptyBlock(true)), await own.read(emptyBlock(false))], [new Map(), new Map()]);
  own.close();
  await assert.rejects(new HeaderReader().read(Buffer.from("rubbish, not compressed")));
});

test("any frame is read as it was written, and any bytes are a frame, a part of one, or refused", () => {
  const payload = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
  const flags = fc.nat(255);
  const plain = { noNullPrototype: true } as const;
  const frame: fc.Arbitrary<Frame> = fc.oneof(
    fc.record({ kind: fc.constant("data" as const), stream: fc.nat(0x7fff_ffff), flags, payload }, plain),
    fc.record({ kind: fc.constant("control" as const), type: fc.nat(0xffff), flags, payload }, plain),
  );
  fc.assert(
    fc.property(frame, fc.nat(80), (given, cut) => {
      const bytes = writeSpdyFrame(given);
      assert.deepEqual(readSpdyFrame(bytes), { frame: given, size: bytes.length });
      assert.equal(readSpdyFrame(bytes.subarray(0, Math.min(cut, bytes.length - 1))), undefined);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        readSpdyFrame(Buffer.from(bytes));
        parseHeaders(Buffer.from(bytes));
      } catch (error) {
        assert.match(String(error), /may have|too many/);
      }
    }),
  );
});

test("a client opens streams, both sides write and end, and a reset or rubbish ends what it should", {
  timeout: 10_000,
}, async (t) => {
  const streams: SpdyStream[] = [];
  const connections: SpdyConnection[] = [];
  const server = createServer((socket) => {
    connections.push(new SpdyConnection(socket, Buffer.alloc(0), (stream) => streams.push(stream)));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const dial = async () => {
    const socket = connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
    sockets.push(socket);
    await once(socket, "connect");
    return socket;
  };
  const socket = await dial();
  const writer = new Writer();
  const open = async (id: number) => {
    const payload = Buffer.concat([
      number(id),
      number(0),
      Buffer.alloc(2),
      await writer.block({ streamtype: `s${id}` }),
    ]);
    socket.write(writeSpdyFrame({ kind: "control", type: 1, flags: 0, payload }));
  };
  await open(1);
  await open(3);
  socket.write(writeSpdyFrame({ kind: "data", stream: 1, flags: 1, payload: Buffer.from("hello") }));
  let received = "";
  socket.on("data", (bytes: Buffer) => {
    received += bytes.toString("latin1");
  });
  while (streams.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const [first, second] = streams;
  assert.equal(first?.headers.get("streamtype"), "s1");
  let said = "";
  for await (const bytes of first?.iterator({ destroyOnReturn: false }) ?? []) said += String(bytes);
  assert.equal(said, "hello");
  first?.end("bye");
  second?.on("close", () => undefined);
  const closed = second === undefined ? undefined : once(second, "close");
  socket.write(writeSpdyFrame({ kind: "control", type: 3, flags: 0, payload: Buffer.concat([number(3), number(5)]) }));
  await closed;
  while (!received.includes("bye")) await new Promise((resolve) => setTimeout(resolve, 5));
  const bad = await dial();
  bad.on("error", () => undefined);
  bad.write(writeSpdyFrame({ kind: "control", type: 1, flags: 0, payload: Buffer.from("too short") }));
  await once(bad, "close");
  assert.ok(connections[1]?.gone.aborted);
  assert.ok(!connections[0]?.gone.aborted, "another's mistakes are not felt");
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { grpcExchange, grpcPath } from "../../client/http2.ts";
import { loadOnly, serve } from "../../testing.ts";
import { frame, unframe } from "../../wire/grpc.ts";
import { decodeMessage, encodeCopy, makeQuery } from "../../wire/message.ts";
import { parseRecord } from "../../wire/parse.ts";
import { Writer } from "../../wire/writer.ts";

/** A server that answers names by their first label: `ok`, `none` (NXDOMAIN), `fail` (an error of gRPC), `junk`, `hang`. */
let server: Http2Server;
let port: number;
const asked: string[] = [];
const directory = mkdtempSync(join(tmpdir(), "ptl-grpc-"));

before(async () => {
  server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    assert.equal(headers[":path"], grpcPath);
    const parts: Buffer[] = [];
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => answer(stream, Buffer.concat(parts)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});
after(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

function answer(stream: ServerHttp2Stream, body: Buffer): void {
  const query = decodeMessage(unframe(body) ?? new Uint8Array());
  const name = query.questions[0]?.name ?? "";
  const [kind] = name.split(".");
  asked.push(name);
  if (kind === "hang") {
    stream.on("error", () => {});
    return;
  }
  const reply = {
    ...query,
    qr: true,
    rcode: kind === "none" ? 3 : 0,
    answer: kind === "none" ? [] : [parseRecord(`${name} 60 IN A 192.0.2.1`)],
  };
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  const status = kind === "fail" ? { "grpc-status": "14", "grpc-message": "gone" } : { "grpc-status": "0" };
  stream.on("wantTrailers", () => stream.sendTrailers(status));
  if (kind === "junk") stream.end(Buffer.from("junk"));
  else stream.end(frame(encodeCopy(new Writer(), reply)));
}

test("after a query that was not answered in time, the next one has a connection of its own", async () => {
  let sessions = 0;
  const count = () => sessions++;
  server.on("session", count);
  const exchange = grpcExchange({ address: "127.0.0.1", port });
  const ask = (name: string, time: number) => exchange.ask(encodeCopy(new Writer(), makeQuery(7, name, 1)), time);
  await ask("ok.example.", 3000);
  await assert.rejects(ask("hang.example.", 50), /i\/o timeout/);
  await ask("ok.example.", 3000);
  exchange.close();
  server.off("session", count);
  assert.equal(sessions, 2);
});

const corefile = (to: string, properties = "") => `. {\n errors\n grpc . ${to} {\n ${properties}\n }\n whoami\n}`;

test("queries are asked over gRPC, and what fails there is SERVFAIL with the reason in the log", async () => {
  const dns = await serve(corefile(`127.0.0.1:${port}`));
  assert.equal(await dns.text("ok.test. A"), "NOERROR\nok.test. 60 A 192.0.2.1");
  assert.equal(await dns.text("none.test. A"), "NXDOMAIN");
  assert.equal(await dns.text("fail.test. A"), "SERVFAIL");
  assert.match(dns.log.at(-1) ?? "", /plugin\/grpc: grpc: status 14 gone/);
  assert.equal(await dns.text("junk.test. A"), "SERVFAIL");
  dns.stop();
});

test("a destination that cannot be reached is followed by the next one", async () => {
  const dns = await serve(corefile(`127.0.0.1:1 127.0.0.1:${port}`, "policy sequential"));
  assert.match(await dns.text("ok.test. A"), /192\.0\.2\.1$/);
  dns.stop();
});

test("destinations are Unix sockets and the servers of a file, too", async () => {
  const path = join(directory, "socket");
  const other = createServer();
  other.on("stream", (stream: ServerHttp2Stream) => {
    const parts: Buffer[] = [];
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => answer(stream, Buffer.concat(parts)));
  });
  other.listen(path);
  await once(other, "listening");
  const dns = await serve(corefile(`unix://${path}`));
  assert.match(await dns.text("ok.test. A"), /192\.0\.2\.1$/);
  dns.stop();
  other.close();
  writeFileSync(join(directory, "resolv.conf"), "nameserver 192.0.2.1\nnameserver 2001:db8::1\n");
  await loadOnly(corefile(join(directory, "resolv.conf")));
});

test("names below except go on, and those that do not exist where fallthrough says so", async () => {
  const dns = await serve(corefile(`127.0.0.1:${port}`, "except inside.test\n fallthrough test"));
  asked.length = 0;
  assert.match(await dns.text("a.inside.test. A"), /^NOERROR/);
  assert.deepEqual(asked, []);
  assert.match(await dns.text("none.test. A"), /^NOERROR/);
  assert.equal(await dns.text("none.other. A"), "NXDOMAIN");
  dns.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["grpc .", /grpc/],
    ["grpc . host.example", /not an address and port, a Unix socket or a file/],
    ["grpc . 127.0.0.1 {\n policy best\n}", /random, round_robin or sequential/],
    ["grpc . 127.0.0.1 {\n tls /none/ca\n}", /no such file/],
    ["grpc . 127.0.0.1 {\n foo\n}", /unknown property 'foo'/],
  ] as const)
    await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
});

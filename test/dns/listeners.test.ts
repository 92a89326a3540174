import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { grpcExchange, httpsExchange } from "../../src/dns/client/http2.ts";
import { TYPE } from "../../src/dns/wire/codes.ts";
import { decodeMessage, encodeCopy, makeQuery } from "../../src/dns/wire/message.ts";
import { Writer } from "../../src/dns/wire/writer.ts";
import { type DnsProcess, dig, freePort, makeCertificate, run, startDns } from "./support.ts";

const ports = { dns: 0, tls: 0, auth: 0, https: 0, grpc: 0, plain: 0, metrics: 0 };
const certificate = makeCertificate();
let server: DnsProcess;

before(async () => {
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
  const names = "erratic {\n drop 0\n }\n bufsize 1232\n timeouts {\n read 1s\n write 1s\n idle 2s\n }";
  const tls = "tls cert.pem key.pem";
  server = await startDns({
    Corefile: `
      .:${ports.dns} {\n bind 127.0.0.1 ::1\n prometheus 127.0.0.1:${ports.metrics}\n ${names}\n }
      large:${ports.dns} {\n bind 127.0.0.1\n erratic {\n drop 0\n large\n }\n }
      tls://.:${ports.tls} {\n ${tls}\n erratic {\n drop 0\n delay 1 50ms\n }\n }
      tls://.:${ports.auth} {\n tls cert.pem key.pem cert.pem {\n client_auth verify_if_given\n }\n erratic {\n drop 0\n }\n }
      https://.:${ports.https} {\n ${tls}\n erratic {\n drop 0\n }\n }
      grpc://.:${ports.grpc} {\n ${tls}\n erratic {\n drop 0\n }\n }
      https://.:${ports.plain} {\n timeouts {\n read 1s\n }\n erratic {\n drop 0\n }\n }`,
    "cert.pem": certificate.cert,
    "key.pem": certificate.key,
  });
});

after(() => server.stop());

const expected = ["a.example. 0 IN A 192.0.2.53"];

test("dig is answered over UDP and TCP, IPv4 and IPv6", () => {
  assert.deepEqual(dig(ports.dns, "a.example."), expected);
  assert.deepEqual(dig(ports.dns, "+tcp", "a.example."), expected);
  assert.deepEqual(dig(ports.dns, "@::1", "a.example."), expected);
  assert.deepEqual(dig(ports.dns, "+tcp", "+keepopen", "a.example.", "b.example.").length, 2);
});

test("a large answer is truncated over UDP, and whole over TCP", () => {
  const udp = run("dig", "@127.0.0.1", "-p", String(ports.dns), "+ignore", "+noedns", "a.large.", "AAAA");
  assert.match(udp, /flags: qr aa tc rd/);
  const [, size] = /MSG SIZE {2}rcvd: (\d+)/.exec(udp) ?? [];
  assert.ok(Number(size) <= 512);
  assert.equal(dig(ports.dns, "+noedns", "a.large.", "AAAA").length, 29);
  assert.equal(dig(ports.dns, "+bufsize=4096", "+ignore", "a.large.", "AAAA").length, 29);
});

test("EDNS is echoed, other versions are refused, odd queries get their codes", () => {
  const ask = (...args: string[]) => run("dig", "@127.0.0.1", "-p", String(ports.dns), "a.example.", ...args);
  assert.match(ask("+dnssec"), /EDNS: version: 0, flags: do; udp: 1232/);
  assert.match(ask("+edns=1", "+noednsneg"), /status: BADVERS/);
  assert.match(ask("+opcode=update"), /status: NOTIMP/);
  assert.match(ask("-c", "CH"), /status: REFUSED/);
  assert.match(ask("+header-only"), /status: FORMERR/);
});

test("kdig is answered over TLS and HTTPS", () => {
  const kdig = (...args: string[]) =>
    run("kdig", "@127.0.0.1", "+noall", "+answer", ...args, "a.example.").replace(/\s+/g, " ");
  assert.match(kdig("-p", String(ports.tls), "+tls"), /a\.example\. 0 IN A 192\.0\.2\.53/);
  assert.match(kdig("-p", String(ports.https), "+https"), /a\.example\. 0 IN A 192\.0\.2\.53/);
  assert.match(kdig("-p", String(ports.https), "+https-get"), /a\.example\. 0 IN A 192\.0\.2\.53/);
});

test("DNS over HTTPS works with HTTP/1.1 and HTTP/2, with and without TLS, and refuses what is wrong", async () => {
  const query = encodeCopy(new Writer(), makeQuery(0, "a.example.", TYPE.A)).toString("base64url");
  const base = `http://127.0.0.1:${ports.plain}`;
  const good = await fetch(`${base}/dns-query?dns=${query}`);
  assert.equal(good.status, 200);
  assert.equal(good.headers.get("content-type"), "application/dns-message");
  assert.equal(good.headers.get("cache-control"), "max-age=0");
  assert.equal(decodeMessage(new Uint8Array(await good.arrayBuffer())).answer.length, 1);
  assert.equal((await fetch(`${base}/other`)).status, 404);
  assert.equal((await fetch(`${base}/dns-query`)).status, 400);
  assert.equal((await fetch(`${base}/dns-query?dns=${query}`, { method: "PUT" })).status, 400);
  assert.equal((await fetch(`${base}/dns-query`, { method: "POST", body: "x" })).status, 400);
  for (const [port, tls] of [
    [ports.plain, undefined],
    [ports.https, { ca: certificate.cert, servername: "dns.test" }],
  ] as const) {
    const exchange = httpsExchange({ address: "127.0.0.1", port, path: "/dns-query", method: "POST", tls });
    const bytes = encodeCopy(new Writer(), makeQuery(4711, "a.example.", TYPE.A));
    const answer = decodeMessage(await exchange.ask(bytes, 3000));
    assert.deepEqual([answer.id, answer.answer.length], [4711, 1]);
    exchange.close();
  }
});

test("DNS over gRPC works", async () => {
  const tls = { ca: certificate.cert, servername: "dns.test" };
  const exchange = grpcExchange({ address: "127.0.0.1", port: ports.grpc, tls });
  const bytes = encodeCopy(new Writer(), makeQuery(4711, "a.example.", TYPE.A));
  assert.equal(decodeMessage(await exchange.ask(bytes, 3000)).answer.length, 1);
  exchange.close();
});

test("queries of one connection are answered without waiting for each other, also if they come in pieces", async () => {
  const socket = connect(ports.dns, "127.0.0.1");
  const frames = Buffer.concat(
    Array.from({ length: 200 }, (_, id) => {
      const message = encodeCopy(new Writer(), makeQuery(id, `n${id}.example.`, TYPE.A));
      return Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
    }),
  );
  let received = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
  });
  for (let at = 0; at < frames.length; at += 1000) {
    socket.write(frames.subarray(at, at + 1000));
    await delay(2);
  }
  socket.end();
  await new Promise((resolve) => socket.on("close", resolve));
  const ids = new Set<number>();
  for (let at = 0; at < received.length; at += 2 + received.readUInt16BE(at)) ids.add(received.readUInt16BE(at + 2));
  assert.equal(ids.size, 200);
});

test("a client that sends half a message, one in small pieces, or nothing, is cut off", async () => {
  const slow = async (bytes: Buffer, again: boolean, port = ports.dns) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    const start = performance.now();
    socket.write(bytes);
    const timer = setInterval(() => again && socket.write(Buffer.from([1])), 200);
    socket.resume();
    await new Promise((resolve) => socket.on("close", resolve));
    clearInterval(timer);
    const time = performance.now() - start;
    assert.ok(time > 900 && time < 4000, `${time} ms`);
  };
  const request =
    "POST /dns-query HTTP/1.1\r\nhost: x\r\ncontent-type: application/dns-message\r\ncontent-length: 40\r\n\r\n";
  await Promise.all([
    slow(Buffer.from([0, 40, 1, 2]), false),
    slow(Buffer.from([0, 40, 1, 2]), true),
    slow(Buffer.alloc(0), false),
    slow(Buffer.from(request), true, ports.plain),
  ]);
});

test("a client that gives up a TLS handshake is let go at once, one that ends its side afterwards gets its replies", async () => {
  const start = performance.now();
  const early = connect(ports.tls, "127.0.0.1");
  early.resume();
  early.end(Buffer.from([22, 3, 1]));
  await new Promise((resolve) => early.on("close", resolve));
  assert.ok(performance.now() - start < 3000);
  const late = connectTls({ port: ports.tls, host: "127.0.0.1", ca: certificate.cert, servername: "dns.test" });
  const message = encodeCopy(new Writer(), makeQuery(7, "a.example.", TYPE.A));
  late.end(Buffer.concat([Buffer.from([0, message.length]), message]));
  const parts: Buffer[] = [];
  late.on("data", (part: Buffer) => parts.push(part));
  await new Promise((resolve) => late.on("close", resolve));
  assert.equal(decodeMessage(Buffer.concat(parts).subarray(2)).answer.length, 1);
});

test("with verify_if_given a client may show no certificate, but none of another authority", async () => {
  const message = encodeCopy(new Writer(), makeQuery(7, "a.example.", TYPE.A));
  const received = async (own: { readonly cert?: string; readonly key?: string }) => {
    const trust = { ca: certificate.cert, servername: "dns.test" };
    const socket = connectTls({ port: ports.auth, host: "127.0.0.1", ...trust, ...own });
    socket.on("error", () => {});
    socket.end(Buffer.concat([Buffer.from([0, message.length]), message]));
    let size = 0;
    socket.on("data", (bytes: Buffer) => (size += bytes.length));
    await new Promise((resolve) => socket.on("close", resolve));
    return size > 0;
  };
  assert.deepEqual(await Promise.all([received({}), received(certificate), received(makeCertificate())]), [
    true,
    true,
    false,
  ]);
});

test("a client that takes no replies is cut off, and what waits for it stays small", async () => {
  const socket = connect(ports.dns, "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  const name = `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.example.`;
  const message = encodeCopy(new Writer(), makeQuery(7, name, TYPE.A));
  const frame = Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
  const frames = Buffer.concat(Array.from({ length: 300 }, () => frame));
  const memory = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))?.[1]) * 1024;
  const before = memory();
  let cut = false;
  socket.on("close", () => {
    cut = true;
  });
  // The kernel takes megabytes for either side; after that the server stops reading, and after a second it gives up.
  for (let i = 0; i < 1000 && !cut; i++) {
    if (!socket.write(frames)) await delay(5);
  }
  for (let i = 0; i < 100 && !cut; i++) {
    await delay(50);
    socket.write(frame);
  }
  socket.destroy();
  assert.ok(cut);
  assert.ok(memory() - before < 40 * 1024 * 1024, `${memory() - before} bytes more`);
});

test("junk is not answered, and the server goes on", async () => {
  const { createSocket } = await import("node:dgram");
  const socket = createSocket("udp4");
  let answers = 0;
  socket.on("message", () => answers++);
  for (let i = 0; i < 300; i++) {
    const junk = Buffer.from(Array.from({ length: i % 60 }, (_, at) => (at === 2 ? 0x80 : (i * 7 + at * 13) & 255)));
    socket.send(junk, ports.dns, "127.0.0.1");
  }
  await delay(200);
  socket.close();
  assert.equal(answers, 0);
  assert.deepEqual(dig(ports.dns, "a.example."), expected);
});

test("metrics count what was asked", async () => {
  const text = await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text();
  const sample = new RegExp(
    `^coredns_dns_requests_total\\{server="dns://127.0.0.1:${ports.dns}",zone="\\.",view="",proto="udp",family="1",type="A"\\} [1-9]`,
    "m",
  );
  assert.match(text, sample);
  assert.match(text, /^coredns_dns_responses_total\{[^}]*rcode="NOERROR",plugin="erratic"\} [1-9]/m);
});

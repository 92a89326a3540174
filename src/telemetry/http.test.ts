import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import test from "node:test";
import { type Clock, systemClock } from "./clock.ts";
import { type HttpHandler, listenHttp, router, textReply } from "./http.ts";
import { silentLogger } from "./log.ts";

const base = { name: "test", host: "127.0.0.1", port: 0, log: silentLogger, clock: systemClock, hardFail: false };

async function serve(handler: HttpHandler, t: { after(fn: () => unknown): void }) {
  const listener = await listenHttp({ ...base, handler }, new AbortController().signal);
  t.after(() => listener.close());
  return { listener, url: `http://127.0.0.1:${listener.port}` };
}

test("routes answer by exact path, then by the longest folder", async (t) => {
  const handler = router({
    "/a": () => textReply(200, "a"),
    "/d/": (request) => textReply(200, `d ${request.path} ${request.query.get("q")}`),
    "/d/e/": () => textReply(200, "e"),
  });
  const { url } = await serve(handler, t);
  const get = async (path: string) => (await fetch(url + path)).text();
  assert.equal(await get("/a"), "a");
  assert.equal(await get("/d/x?q=1"), "d /d/x 1");
  assert.equal(await get("/d/e/f"), "e");
  assert.equal((await fetch(`${url}/b`)).status, 404);
  assert.equal((await fetch(`${url}/a`, { method: "DELETE" })).status, 405);
  assert.equal((await fetch(`${url}/constructor`)).status, 404);
});

test("a large body is refused and a failing handler is status 500", async (t) => {
  const { url } = await serve((request) => {
    if (request.body === "") throw new Error("no");
    return textReply(200, String(request.body.length));
  }, t);
  assert.equal((await fetch(url)).status, 500);
  assert.equal(await (await fetch(url, { method: "PUT", body: "x".repeat(1000) })).text(), "1000");
  assert.equal((await fetch(url, { method: "PUT", body: "x".repeat(70_000) })).status, 413);
});

test("closing lets a running request finish and refuses new ones", async (t) => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let started = () => {};
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const { listener, url } = await serve(async () => {
    started();
    await held;
    return textReply(200, "done");
  }, t);
  const reply = fetch(url, { headers: { connection: "close" } });
  await running;
  const closed = listener.close();
  release();
  assert.equal(await (await reply).text(), "done");
  await closed;
  await assert.rejects(fetch(url));
});

test("a taken port is an error with hardFail, else tried again every five seconds", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const address = taken.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const handler = () => textReply(200, "mine");
  const signal = new AbortController().signal;
  await assert.rejects(
    listenHttp({ ...base, port, handler, hardFail: true }, signal),
    new RegExp(`test server: cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
  );

  const sleeps: number[] = [];
  let wake = () => {};
  const clock: Clock = {
    ...systemClock,
    sleep: (ms) => {
      sleeps.push(ms);
      return new Promise((resolve) => {
        wake = () => resolve(true);
      });
    },
  };
  const listener = await listenHttp({ ...base, clock, port, handler }, signal);
  t.after(() => listener.close());
  assert.match(listener.failure?.message ?? "", /EADDRINUSE/);
  await new Promise((resolve) => taken.close(resolve));
  wake();
  while (listener.port === undefined) await new Promise(setImmediate);
  assert.deepEqual(sleeps, [5000]);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}`)).text(), "mine");
});

test("aborting the signal closes the server", async () => {
  const stop = new AbortController();
  const listener = await listenHttp({ ...base, handler: () => textReply(200, "") }, stop.signal);
  const url = `http://127.0.0.1:${listener.port}`;
  stop.abort();
  await listener.close();
  await assert.rejects(fetch(url));
});

test("strange and broken requests do not harm the server", async (t) => {
  const { listener, url } = await serve(({ path }) => textReply(200, path), t);
  const send = (bytes: string) =>
    new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(listener.port ?? 0, "127.0.0.1", () => socket.end(bytes));
      socket.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      socket.on("close", () => resolve(text)).on("error", () => {});
    });
  const end = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  assert.match(await send(`OPTIONS *${end}`), /^HTTP\/1\.1 200 OK[\s\S]*\n\/$/);
  assert.match(await send(`GET http://other/x${end}`), /\n\/$/);
  assert.match(await send(`GET //other/x${end}`), /\n\/$/);
  assert.match(await send(`GET /%zz/../..?%${end}`), /\n\/$/);
  assert.match(await send("garbage\r\n\r\n"), /^HTTP\/1\.1 400 /);
  assert.match(await send(`GET /${"x".repeat(20_000)}${end}`), /^HTTP\/1\.1 431 /);
  await send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf");
  assert.equal(await (await fetch(`${url}/well`)).text(), "/well");
});

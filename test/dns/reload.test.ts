import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { TYPE } from "../../src/dns/wire/codes.ts";
import { encodeCopy, makeQuery } from "../../src/dns/wire/message.ts";
import { Writer } from "../../src/dns/wire/writer.ts";
import { dig, freePort, startDns } from "./support.ts";

const block = (port: number, more: string) => `.:${port} {\n bind 127.0.0.1\n reload 2s 1s\n ${more}\n}\n`;
const erratic = "erratic {\n drop 0\n }";

/** Has a server hold a port, which it does not share. */
async function listening(holder: Server): Promise<number> {
  await once(holder.listen(0, "127.0.0.1"), "listening");
  return (holder.address() as AddressInfo).port;
}

test("a new Corefile is taken over without losing a query, a bad one is refused", async () => {
  const [port, other] = [await freePort(), await freePort()];
  const server = await startDns({ Corefile: block(port, erratic) });
  const socket = createSocket("udp4");
  const holder = createServer();
  let sent = 0;
  let received = 0;
  socket.on("message", () => received++);
  const query = encodeCopy(new Writer(), makeQuery(1, "a.example.", TYPE.A));
  const timer = setInterval(() => socket.send(query, port, "127.0.0.1", () => sent++), 2);
  try {
    server.write("Corefile", block(port, "nonsense"));
    server.child.kill("SIGUSR1");
    await server.until(/Unknown directive 'nonsense'/);
    assert.equal(dig(port, "a.example.").length, 1);
    const taken = await listening(holder);
    server.write("Corefile", block(port, erratic) + block(taken, erratic));
    server.child.kill("SIGUSR1");
    await server.until(/cannot listen at tcp dns:.*EADDRINUSE.*\(another program has the port/);
    server.write("Corefile", block(port, erratic) + block(other, erratic));
    server.child.kill("SIGUSR1");
    await server.until(/Reloading complete/);
    assert.equal(dig(other, "a.example.").length, 1);
    server.write("Corefile", block(port, "whoami"));
    await server.until(/Reloading complete.*Reloading complete/s);
    assert.equal(dig(port, "a.example.").length, 0);
    assert.throws(() => dig(other, "a.example."));
    clearInterval(timer);
    await delay(200);
    assert.ok(sent > 100);
    assert.equal(received, sent);
  } finally {
    clearInterval(timer);
    socket.close();
    holder.close();
    await server.stop();
  }
});

test("SIGTERM ends the server, after the time that health asks for", async () => {
  const [port, health, ready] = [await freePort(), await freePort(), await freePort()];
  const server = await startDns({
    Corefile: block(port, `health 127.0.0.1:${health} {\n lameduck 1s\n }\n ready 127.0.0.1:${ready}\n ${erratic}`),
  });
  const statusOf = async (url: string) => (await fetch(url)).status;
  assert.equal(await statusOf(`http://127.0.0.1:${ready}/ready`), 200);
  assert.equal(await (await fetch(`http://127.0.0.1:${health}/health`)).text(), "OK");
  // A terminal that is closed ends nothing.
  server.child.kill("SIGHUP");
  await delay(50);
  server.child.kill("SIGTERM");
  await delay(300);
  assert.equal(dig(port, "a.example.").length, 1);
  assert.equal(await statusOf(`http://127.0.0.1:${ready}/ready`), 503);
  assert.equal(await statusOf(`http://127.0.0.1:${health}/health`), 200);
  await new Promise((resolve) => server.child.on("exit", resolve));
  assert.equal(server.child.exitCode, 0);
  await server.stop();
});

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { answerLine, answerRequest, plainAddress, serverSettings } from "./answer.ts";

const identity = { pod: "web-1", namespace: "default", node: "node1", container: "web" };
const ends = { client: "10.244.1.9", clientPort: 4321, server: "10.244.1.2", serverPort: 8080 };
const none = { args: [], env: {}, ports: [] };

function ask(target: string, body = "", health = { ready: true, healthy: true }) {
  return answerRequest(target, body, identity, ends, health);
}

test("a server says who it is and who asks", () => {
  assert.equal(ask("/hostname").body, "web-1");
  assert.equal(ask("/hostName").body, "web-1");
  assert.equal(ask("/nodename").body, "node1");
  assert.equal(ask("/clientip").body, "10.244.1.9:4321");
  assert.deepEqual(JSON.parse(ask("/").body), { ...identity, ...ends });
});

test("it echoes the message, or the body", () => {
  assert.equal(ask("/echo?msg=hello%20you").body, "hello you");
  assert.equal(ask("/echo?msg=a", "the body").body, "the body");
});

test("readiness and health are what was last set, each on its own", () => {
  const health = { ready: true, healthy: true };
  assert.equal(ask("/readyz", "", health).status, 200);
  assert.equal(ask("/readyz?set=false", "", health).status, 200);
  assert.equal(ask("/readyz", "", health).status, 503);
  assert.equal(ask("/healthz", "", health).status, 200);
  ask("/readyz?set=true", "", health);
  assert.equal(ask("/readyz", "", health).status, 200);
});

test("an answer may be late, or the last", () => {
  assert.equal(ask("/hostname?delay=250").delay, 250);
  assert.equal(ask("/hostname?delay=-1").delay, 0);
  assert.equal(ask("/exit?code=3").exit, 3);
  assert.equal(ask("/exit?code=999").exit, 0);
  assert.equal(ask("/nothing").status, 404);
});

test("lines are answered as requests are", () => {
  assert.equal(answerLine("hostname\n", identity, ends), "web-1");
  assert.equal(answerLine("clientip", identity, ends), "10.244.1.9:4321");
  assert.equal(answerLine("echo a b", identity, ends), "a b");
  assert.deepEqual(JSON.parse(answerLine("", identity, ends)), { ...identity, ...ends });
});

test("a container listens on its ports, or on those of netexec's flags, or on the usual ones", () => {
  const ports = [
    { port: 53, protocol: "UDP" },
    { port: 53, protocol: "TCP" },
    { port: 99, protocol: "SCTP" },
  ];
  const { tcp, udp } = serverSettings({ ...none, ports });
  assert.deepEqual([tcp, udp], [[53], [53]]);
  assert.deepEqual(serverSettings(none).tcp, [80, 8080]);
  const netexec = serverSettings({ ...none, args: ["netexec", "--http-port=8083", "--udp-port=8081"] });
  assert.deepEqual([netexec.tcp, netexec.udp], [[8083], [8081]]);
  assert.equal(serverSettings({ ...none, args: ["--delay-shutdown=5"] }).shutdownDelay, 5000);
});

test("the environment sets delays and readiness; nonsense in it is passed over", () => {
  const env = { STARTUP_DELAY: "100", SHUTDOWN_DELAY: "0", READY: "false" };
  const { startupDelay, shutdownDelay, ready } = serverSettings({ ...none, env });
  assert.deepEqual([startupDelay, shutdownDelay, ready], [100, 0, false]);
  assert.equal(serverSettings({ ...none, env: { STARTUP_DELAY: "soon" } }).startupDelay, 0);
});

test("addresses of sockets for both families are written plainly", () => {
  assert.equal(plainAddress("::ffff:10.0.0.1"), "10.0.0.1");
  assert.equal(plainAddress("fd00::1"), "fd00::1");
});

test("no line makes the server fail", () => {
  fc.assert(fc.property(fc.string(), (line) => typeof answerLine(line, identity, ends) === "string"));
});

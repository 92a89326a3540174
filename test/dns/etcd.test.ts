import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type DnsProcess, dig, freePort, startDns } from "./support.ts";

const entries: Readonly<Record<string, object>> = {
  "test/a": { host: "192.0.2.1", ttl: 60 },
  "test/multi/x": { host: "192.0.2.2", port: 8080, priority: 20 },
  "test/multi/y": { host: "2001:db8::2", port: 8081, weight: 300 },
  "test/alias": { host: "a.test" },
  "test/text": { text: "hello" },
  "test/mail/m1": { host: "192.0.2.5", mail: true, priority: 5 },
  "arpa/in-addr/192/0/2/1": { host: "a.test" },
  "test/dns/ns/one": { host: "192.0.2.53" },
};

let directory: string;
let store: ChildProcess | undefined;
let server: DnsProcess | undefined;
let port: number;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "ptl-etcd-"));
  const [client, peer] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  const flags = ["--data-dir", directory, "--listen-client-urls", url, "--advertise-client-urls", url];
  const cluster = [
    "--listen-peer-urls",
    peerUrl,
    "--initial-advertise-peer-urls",
    peerUrl,
    "--initial-cluster",
    `default=${peerUrl}`,
  ];
  store = spawn("etcd", [...flags, ...cluster], { stdio: "ignore" });
  for (let i = 0; i < 100; i++) {
    if ((await fetch(`${url}/health`).catch(() => undefined))?.ok) break;
    await delay(100);
  }
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  for (const [key, value] of Object.entries(entries)) {
    const body = JSON.stringify({ key: base64(`/skydns/${key}`), value: base64(JSON.stringify(value)) });
    assert.equal((await fetch(`${url}/v3/kv/put`, { method: "POST", body })).status, 200);
  }
  // A lease for the name, one that is shorter than the bound, and one that is longer than what the value says.
  for (const [name, seconds, ttl] of [
    ["leased", 1000, 0],
    ["short", 20, 0],
    ["own", 1000, 60],
  ] as const) {
    const body = JSON.stringify({ TTL: seconds });
    const granted = await fetch(`${url}/v3/lease/grant`, { method: "POST", body });
    const { ID: lease } = (await granted.json()) as { readonly ID: string };
    const value = base64(JSON.stringify({ host: "192.0.2.9", ttl }));
    const put = JSON.stringify({ key: base64(`/skydns/test/${name}`), value, lease });
    assert.equal((await fetch(`${url}/v3/kv/put`, { method: "POST", body: put })).status, 200);
  }
  port = await freePort();
  server = await startDns({
    Corefile: `.:${port} {\n bind 127.0.0.1\n etcd test in-addr.arpa {\n endpoint http://127.0.0.1:1 ${url}\n max-lease-ttl 10m\n }\n}`,
  });
});

after(async () => {
  await server?.stop();
  if (store !== undefined) {
    store.kill();
    await once(store, "exit");
    rmSync(directory, { recursive: true, force: true });
  }
});

test("entries of etcd are answered as SkyDNS did", () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ["a.test.", "A", ["a.test. 60 IN A 192.0.2.1"]],
    ["multi.test.", "A", ["multi.test. 300 IN A 192.0.2.2"]],
    ["multi.test.", "AAAA", ["multi.test. 300 IN AAAA 2001:db8::2"]],
    [
      "multi.test.",
      "SRV",
      ["multi.test. 300 IN SRV 20 100 8080 x.multi.test.", "multi.test. 300 IN SRV 10 100 8081 y.multi.test."],
    ],
    ["alias.test.", "A", ["alias.test. 300 IN CNAME a.test.", "a.test. 60 IN A 192.0.2.1"]],
    ["alias.test.", "CNAME", ["alias.test. 300 IN CNAME a.test."]],
    ["text.test.", "TXT", ['text.test. 300 IN TXT "hello"']],
    ["mail.test.", "MX", ["mail.test. 300 IN MX 5 m1.mail.test."]],
    ["1.2.0.192.in-addr.arpa.", "PTR", ["1.2.0.192.in-addr.arpa. 300 IN PTR a.test."]],
    ["test.", "NS", ["test. 300 IN NS one.ns.dns.test."]],
    ["none.test.", "A", []],
    ["a.test.", "MX", []],
  ];
  for (const [name, type, expected] of rows) assert.deepEqual(dig(port, name, type), expected, `${name} ${type}`);
});

test("the TTL of an entry with a lease is what the lease has left, within bounds", () => {
  assert.deepEqual(dig(port, "leased.test."), ["leased.test. 600 IN A 192.0.2.9"]);
  assert.deepEqual(dig(port, "short.test."), ["short.test. 30 IN A 192.0.2.9"]);
  assert.deepEqual(dig(port, "own.test."), ["own.test. 60 IN A 192.0.2.9"]);
});

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { TYPE } from "../../src/dns/wire/codes.ts";
import { encodeCopy, makeQuery } from "../../src/dns/wire/message.ts";
import { Writer } from "../../src/dns/wire/writer.ts";
import { type DnsProcess, dig, freePort, startDns } from "./support.ts";

const capacity = 2048;
let server: DnsProcess;
let port: number;
let metrics: number;
let socket: Socket;
let answered = 0;

before(async () => {
  const behind = await freePort();
  port = await freePort();
  metrics = await freePort();
  server = await startDns({
    Corefile: `.:${port} {
      bind 127.0.0.1
      prometheus 127.0.0.1:${metrics}
      cache {
        success ${capacity}
        denial ${capacity}
      }
      rewrite name regex ^([a-z0-9.]+)*old\\.example\\.$ new.example.
      forward . 127.0.0.1:${behind} {
        max_concurrent 500
      }
    }
    .:${behind} {
      bind 127.0.0.1
      template IN A keep.example {
        answer "{{ .Name }} 3600 IN A 192.0.2.1"
      }
      template ANY ANY {
        rcode NXDOMAIN
        authority "example. 60 IN SOA a. b. 1 2 3 4 60"
      }
    }`,
  });
  socket = createSocket("udp4");
  socket.on("message", () => answered++);
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
});
after(async () => {
  socket.close();
  await server.stop();
});

const memory = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))?.[1]) / 1024;

/** Asks for names that nobody has asked for before, never more than a few hundred at a time. */
async function flood(count: number, ending: string): Promise<void> {
  const writer = new Writer(512);
  answered = 0;
  for (let sent = 0; sent < count; ) {
    for (let i = 0; i < 50; i++, sent++) {
      const name = `${randomBytes(16).toString("hex")}.${ending}`;
      socket.send(encodeCopy(writer, makeQuery(sent & 0xffff, name, TYPE.A)), port, "127.0.0.1");
    }
    for (let i = 0; i < 200 && sent - answered > 200; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test("a flood of random names fills the cache and no more, and keeps what others ask for", async () => {
  dig(port, "keep.example.");
  await flood(40_000, "example.");
  const first = memory();
  await flood(80_000, "example.");
  const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  const entries = Number(/^coredns_cache_entries\{[^}]*type="denial"[^}]*\} (\d+)/m.exec(text)?.[1]);
  assert.equal(entries, capacity);
  assert.ok(memory() - first < 40, `${first} MB, then ${memory()} MB`);
  assert.deepEqual(
    dig(port, "keep.example.").map((line) => line.replace(/ \d+ IN/, " IN")),
    ["keep.example. IN A 192.0.2.1"],
  );
});

test("names that are made to confuse a pattern cost no more than others", async () => {
  const start = performance.now();
  await flood(2000, `${"a.".repeat(80)}old.exampl.`);
  assert.ok(answered > 1000);
  assert.ok(performance.now() - start < 20_000);
});

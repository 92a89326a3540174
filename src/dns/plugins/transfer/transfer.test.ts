import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Client } from "../../server/query.ts";
import { type RawObject, serve, textOf } from "../../testing.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import { decodeMessage, encodeCopy, type Message, makeQuery } from "../../wire/message.ts";
import { parseRecord } from "../../wire/parse.ts";
import { Writer } from "../../wire/writer.ts";

const services = 3000;
const objects: readonly RawObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  ...Array.from({ length: services }, (_, i) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: `web-${i}`, namespace: "shop" },
    spec: { clusterIPs: [`10.0.${i >> 8}.${i & 255}`], ports: [{ name: "http", port: 80 }] },
  })),
];
const corefile = `. {
  transfer cluster.local {
    to 192.0.2.0/24
  }
  kubernetes cluster.local
}`;
const client: Client = {
  protocol: "tcp",
  family: "IPv4",
  address: "192.0.2.99",
  port: 40212,
  localAddress: "192.0.2.53",
  localPort: 53,
};

/** The messages of a transfer; `pace` is what the listener says after each part. */
async function transfer(pace: (parts: number) => Promise<void> | undefined, protocol: Client["protocol"] = "tcp") {
  const server = await serve(corefile, { objects });
  const messages: Message[] = [];
  const query = encodeCopy(new Writer(), { ...makeQuery(7, "cluster.local.", TYPE.AXFR), rd: false });
  const done = new Promise<void>((resolve) => {
    server.instance.wanted[0]?.dispatcher.handle(query, { ...client, protocol }, (bytes, more = false) => {
      if (bytes !== undefined) messages.push(decodeMessage(bytes));
      if (!more) resolve();
      return more ? pace(messages.length) : undefined;
    });
  });
  return { server, messages, done };
}

test("a zone goes out in several messages, each record once, between two SOA records", async () => {
  const { server, messages, done } = await transfer(() => undefined);
  await done;
  const records = messages.flatMap(({ answer }) => answer);
  assert.ok(messages.length > 2);
  assert.ok(messages.every(({ tc, id, rcode }) => !tc && id === 7 && rcode === RCODE.NOERROR));
  assert.deepEqual(records[0], records.at(-1));
  assert.equal(records.filter(({ type }) => type === TYPE.A).length, services + 1);
  assert.equal(records.filter(({ type }) => type === TYPE.SRV).length, services);
  assert.match(
    server.log.join("\n"),
    new RegExp(`Outgoing transfer of ${records.length} records of zone cluster\\.local\\.`),
  );
  server.stop();
});

test("the next part is made when the client has taken the last one, and none for one that has gone", async () => {
  let welcome: () => void = () => {};
  let refuse: (reason: Error) => void = () => {};
  const { server, messages, done } = await transfer(
    () =>
      new Promise((resolve, reject) => {
        welcome = resolve;
        refuse = reject;
      }),
  );
  for (const count of [1, 2, 3]) {
    for (let i = 0; i < 10; i++) await turn();
    assert.equal(messages.length, count);
    if (count < 3) welcome();
  }
  refuse(new Error("the client has gone"));
  await done;
  assert.equal(messages.length, 3);
  assert.doesNotMatch(server.log.join("\n"), /Outgoing transfer/);
  server.stop();
});

test("transfers are for TCP and for addresses that are named, and IXFR of the current serial is one record", async () => {
  const server = await serve(corefile, { objects });
  assert.equal(await server.text("cluster.local. AXFR"), "FORMERR");
  assert.equal(await server.text("cluster.local. AXFR", { protocol: "https" }), "FORMERR");
  assert.equal(await server.text("cluster.local. AXFR", { protocol: "tcp", from: "203.0.113.1" }), "REFUSED");
  const soa = (await server.ask("cluster.local. SOA"))?.answer[0];
  assert.ok(soa);
  const ixfr = await server.ask("cluster.local. IXFR", { protocol: "tcp", message: { authority: [soa] } });
  assert.deepEqual(ixfr?.answer, [soa]);
  const old = parseRecord("cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 2 3 4 5");
  const udp = await server.ask("cluster.local. IXFR", { message: { authority: [old] } });
  assert.equal(textOf(udp).split("\n").length, 2);
  server.stop();
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["transfer", /needs to/],
    ["transfer {\n to nobody\n}", /'nobody' is not an address/],
    ["transfer {\n from *\n}", /unknown property 'from'/],
  ] as const)
    await assert.rejects(serve(`. {\n${text}\n}`), fault, text);
});

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, beforeEach, describe, test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import {
  formatVerdict,
  keyLayout,
  listRules,
  type NftEvent,
  openNftables,
  readGeneration,
  type TraceStep,
  Transaction,
  u32Bytes,
  watchNftables,
  watchTraces,
} from "../../src/kernel/nftables/index.ts";

// This process gets a network namespace of its own, which goes with it.
ffi.unshare(ffi.CLONE.newnet);
const socket = openNftables();
after(() => socket.close());
beforeEach(() => execFileSync("nft", ["flush", "ruleset"]));

const demo = { family: "ip", table: "demo" } as const;
const set = { ...demo, set: "s" } as const;

/** Everything up to so many ends of transactions. */
async function eventsOf(events: AsyncIterable<NftEvent>, transactions: number): Promise<NftEvent[]> {
  const seen: NftEvent[] = [];
  let ends = 0;
  for await (const event of events) {
    seen.push(event);
    if (event.kind === "generation" && ++ends === transactions) break;
  }
  return seen;
}

describe("watching nf_tables", { timeout: 10_000 }, () => {
  test("tells what another program changed, and which program that was", async () => {
    const stop = new AbortController();
    const events = watchNftables(stop.signal);
    const before = readGeneration(socket).id;
    const nft = spawn("nft", ["-f", "-"], { stdio: ["pipe", "inherit", "inherit"] });
    nft.stdin.end(`table ip demo {
      set s { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }
      chain c { type filter hook input priority 0; ip saddr @s drop comment "hi"; }
    }`);
    const [seen] = await Promise.all([eventsOf(events, 1), once(nft, "exit")]);
    assert.deepEqual(
      new Set(seen.map((event) => event.kind)),
      new Set(["table", "chain", "set", "elements", "rule", "generation"]),
    );
    const rule = seen.find((event) => event.kind === "rule");
    assert.equal(rule?.removed, false);
    assert.deepEqual(
      rule.rule.expressions.map((expression) => expression.kind),
      ["payload", "lookup", "verdict"],
    );
    const keys = seen.flatMap((event) => (event.kind === "elements" ? event.elements.map((e) => e.key.join(".")) : []));
    assert.deepEqual(keys.sort(), ["10.0.0.1", "10.0.0.2"]);
    const end = seen.at(-1);
    assert.equal(end?.kind, "generation");
    assert.equal(end.generation.id, before + 1);
    assert.equal(end.generation.processId, nft.pid);
    assert.equal(end.generation.processName, "nft");
    stop.abort();
  });

  test("tells our own changes by the socket's port", async () => {
    const stop = new AbortController();
    const events = watchNftables(stop.signal);
    const transaction = new Transaction();
    transaction.addTable(demo);
    transaction.addSet({ ...set, key: keyLayout("ipv4_addr") });
    transaction.addElement(set, u32Bytes(1));
    transaction.commit(socket);
    transaction.deleteElement(set, u32Bytes(1));
    transaction.deleteSet(set);
    transaction.deleteTable(demo);
    transaction.commit(socket);
    const seen = await eventsOf(events, 2);
    for (const event of seen) {
      if (event.kind === "generation")
        assert.deepEqual([event.port, event.generation.processId], [socket.port, process.pid]);
    }
    assert.deepEqual(
      seen.map((event) => ("removed" in event ? `${event.kind} ${event.removed ? "gone" : "new"}` : event.kind)),
      ["table new", "set new", "elements new", "generation", "elements gone", "set gone", "table gone", "generation"],
    );
    stop.abort();
  });

  test("says when events were lost", async () => {
    const stop = new AbortController();
    const events = watchNftables(stop.signal, { receiveBuffer: 4096 });
    const transaction = new Transaction();
    transaction.addTable(demo);
    transaction.addSet({ ...set, key: keyLayout("ipv4_addr") });
    for (let i = 0; i < 5000; i++) transaction.addElement(set, u32Bytes(i));
    transaction.commit(socket);
    let lost = false;
    for await (const event of events) {
      if (event.kind !== "overrun") continue;
      lost = true;
      break;
    }
    assert.ok(lost);
    stop.abort();
  });

  test("ends when its signal aborts, before and while it is waited for", async () => {
    const waiting = new AbortController();
    setTimeout(() => waiting.abort(), 10);
    for await (const event of watchNftables(waiting.signal)) assert.fail(event.kind);
    for await (const event of watchNftables(AbortSignal.abort())) assert.fail(event.kind);
  });
});

describe("tracing packets", { timeout: 10_000 }, () => {
  test("tells which rules a packet matched, and what they decided", async () => {
    execFileSync("ip", ["link", "set", "lo", "up"]);
    execFileSync("nft", ["-f", "-"], {
      input: `table ip demo {
        chain start { type filter hook output priority -300; udp dport 7 meta nftrace set 1; }
        chain first { type filter hook output priority 0; udp dport 7 jump second; udp dport 7 meta mark set 5; }
        chain second { ip daddr 127.0.0.2 counter; }
        chain last { type filter hook input priority 0; policy drop; }
      }`,
    });
    const rules = listRules(socket, { family: "ip", table: "demo" });
    const handle = (chain: string, index = 0) => rules.filter((rule) => rule.chain === chain)[index]?.handle;
    const stop = new AbortController();
    const steps: TraceStep[] = [];
    const traces = watchTraces(stop.signal);
    const sender = createSocket("udp4");
    sender.send("hello", 7, "127.0.0.2");
    for await (const step of traces) {
      assert.notEqual(step.kind, "overrun");
      if (step.kind === "overrun") break;
      steps.push(step);
      if (step.chain === "last" && step.kind === "policy") break;
    }
    sender.close();
    assert.deepEqual(
      steps.map(({ kind, chain, handle, verdict }) => [kind, chain, handle, verdict && formatVerdict(verdict)]),
      [
        ["rule", "start", handle("start"), "continue"],
        ["return", "start", undefined, "continue"],
        ["policy", "start", undefined, "accept"],
        ["rule", "first", handle("first"), "jump second"],
        ["rule", "second", handle("second"), "continue"],
        ["return", "second", undefined, "continue"],
        ["rule", "first", handle("first", 1), "continue"],
        ["return", "first", undefined, "continue"],
        ["policy", "first", undefined, "accept"],
        ["return", "last", undefined, "continue"],
        ["policy", "last", undefined, "drop"],
      ],
    );
    const [first] = steps;
    assert.deepEqual([first?.family, first?.table, first?.outputInterface], ["ip", "demo", 1]);
    assert.equal(
      Buffer.from(first?.networkHeader ?? [])
        .subarray(16, 20)
        .join("."),
      "127.0.0.2",
    );
    assert.equal(Buffer.from(first?.transportHeader ?? []).readUInt16BE(2), 7);
    assert.deepEqual(steps.at(-1)?.mark, 5);
    stop.abort();
  });
});

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { after, beforeEach, describe, test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import {
  keyLayout,
  type NftEvent,
  openNftables,
  readGeneration,
  Transaction,
  u32Bytes,
  watchNftables,
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

/** For ffi.test.ts: a worker that goes to a network namespace of its own, changes it, and watches it. */
import assert from "node:assert/strict";
import { parentPort } from "node:worker_threads";
import * as ffi from "../../src/kernel/ffi.ts";
import { listTables, openNftables, Transaction, watchNftables } from "../../src/kernel/nftables/index.ts";

ffi.unshare(ffi.CLONE.newnet);
const stop = new AbortController();
const events = watchNftables(stop.signal);
using socket = openNftables();
const transaction = new Transaction();
transaction.addTable({ family: "ip", table: "of-worker" });
transaction.commit(socket);
for await (const event of events) if (event.kind === "generation") stop.abort();
assert.ok(parentPort);
parentPort.postMessage(listTables(socket).map((table) => table.table));

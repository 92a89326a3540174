/** Documents of a size that somebody made to do harm. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { parseAddress } from "../../src/net/address.ts";
import { parseSnapshot, readSnapshotFile } from "../../src/trace/snapshot/index.ts";
import { emptySnapshot } from "../../src/trace/snapshot/testing.ts";
import { walk } from "../../src/trace/walk/index.ts";
import { temporaryDirectory } from "./support.ts";

test("one of a million elements is found", () => {
  const elements = Array.from({ length: 1_000_000 }, (_, i) => ({
    key: (0x0a000000 + i).toString(16).padStart(8, "0"),
  }));
  const table = { family: "ip", table: "t" };
  const rule = {
    ...table,
    chain: "in",
    expressions: [
      { kind: "payload", dreg: 8, base: "network", offset: 12, length: 4 },
      { kind: "lookup", set: "s", sreg: 8 },
      { kind: "verdict", verdict: { kind: "drop" } },
    ],
  };
  const text = JSON.stringify({
    ...emptySnapshot,
    nftables: {
      ...emptySnapshot.nftables,
      tables: [table],
      chains: [{ ...table, chain: "in", base: { type: "filter", hook: "input", priority: 0 } }],
      rules: [rule],
      sets: [{ ...table, set: "s", key: { type: 7, length: 4 }, elements }],
    },
  });
  const start = performance.now();
  const packet = {
    family: "IPv4",
    source: parseAddress("10.0.0.9"),
    destination: parseAddress("10.0.0.1"),
    protocol: 6,
    destinationPort: 80,
  } as const;
  const { ends } = walk(parseSnapshot(text, "file"), { input: "eth0", packet });
  assert.deepEqual(
    ends.map(({ outcome }) => outcome.kind),
    ["dropped"],
  );
  assert.ok(performance.now() - start < 60_000);
  assert.ok(process.memoryUsage().heapUsed < 2 ** 31);
});

test("a small file that unpacks to a large one is refused, and so is one of too many values", () => {
  using directory = temporaryDirectory();
  const file = `${directory.path}/bomb.json.gz`;
  writeFileSync(file, gzipSync(Buffer.alloc(600 << 20, " "), { level: 1 }));
  assert.throws(() => readSnapshotFile(file), /bomb\.json\.gz: cannot be read: /);
  writeFileSync(file, gzipSync(Buffer.alloc(200 << 20, "[],"), { level: 1 }));
  assert.throws(() => readSnapshotFile(file), /bomb\.json\.gz: more than \d+ values, no snapshot/);
  writeFileSync(file, gzipSync(JSON.stringify(emptySnapshot)).subarray(0, -20));
  assert.throws(() => readSnapshotFile(file), /bomb\.json\.gz: cannot be read: /);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadOnly } from "../../testing.ts";

test("times of connections are set, within bounds", async () => {
  const load = (lines: string) => loadOnly(`. {\n timeouts {\n ${lines}\n }\n whoami\n}`);
  const [wanted] = (await load("read 10s\n write 1m\n idle 20\n maxtcpqueries 7")).wanted;
  const { readTimeout, writeTimeout, idleTimeout, maxTcpQueries } = wanted?.settings ?? {};
  assert.deepEqual([readTimeout, writeTimeout, idleTimeout, maxTcpQueries], [10_000, 60_000, 20_000, 7]);
  await assert.rejects(load("read 10ms"), /10ms must be from 1s to 24h/);
  await assert.rejects(load("sleep 1s"), /unknown property 'sleep'/);
  await assert.rejects(loadOnly(". {\n timeouts\n}"), /needs a block/);
});

import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { loadOnly } from "../../testing.ts";

test("the number of sockets is that of the directive, or that of processors", async () => {
  const sockets = async (text: string) => (await loadOnly(`. {\n ${text}\n whoami\n}`)).wanted[0]?.settings.sockets;
  assert.equal(await sockets(""), 1);
  assert.equal(await sockets("multisocket 3"), 3);
  assert.equal(await sockets("multisocket"), availableParallelism());
});

test("faults of the directive are reported", async () => {
  for (const [text, fault] of [
    ["multisocket 0", /the number is '0'/],
    ["multisocket 1025", /the number is '1025'/],
    ["multisocket 1 2", /multisocket/],
    ["multisocket 1\n multisocket 1", /once in a server block/],
  ] as const)
    await assert.rejects(loadOnly(`. {\n ${text}\n}`), fault, text);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadOnly } from "../../testing.ts";

const addresses = async (directives: string) =>
  (await loadOnly(`. {\n ${directives}\n whoami\n}`)).wanted.map(({ address }) => address);

test("addresses and interfaces are listened on, those after except are not", async () => {
  assert.deepEqual(await addresses(""), ["::"]);
  assert.deepEqual(await addresses("bind 192.0.2.1 2001:db8::1\n bind 192.0.2.1 192.0.2.2"), [
    "192.0.2.1",
    "2001:db8::1",
    "192.0.2.2",
  ]);
  assert.ok((await addresses("bind lo")).includes("127.0.0.1"));
  assert.deepEqual(await addresses("bind lo {\n except ::1\n }"), ["127.0.0.1"]);
});

test("faults of the directive are reported", async () => {
  await assert.rejects(addresses("bind nonsense0"), /:2: bind: 'nonsense0' is not an address or a network interface/);
  await assert.rejects(addresses("bind 192.0.2.1 {\n except 192.0.2.1\n }"), /no address is left/);
});

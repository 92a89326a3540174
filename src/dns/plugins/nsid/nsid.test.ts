import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("clients that ask for it are told the server's name", async () => {
  const server = await serve(". {\n nsid dns 1\n whoami\n}");
  const ask = async (codes: readonly number[]) => {
    const options = codes.map((code) => ({ code, data: new Uint8Array() }));
    const reply = await server.ask("a. A", { message: { edns: { udpSize: 1232, version: 0, do: false, options } } });
    return reply?.edns?.options.map(({ code, data }) => `${code}=${Buffer.from(data).toString()}`);
  };
  assert.deepEqual(await ask([3, 12]), ["12=", "3=dns 1"]);
  assert.deepEqual(await ask([]), []);
  assert.equal((await server.ask("a. A"))?.edns, undefined);
  server.stop();
});

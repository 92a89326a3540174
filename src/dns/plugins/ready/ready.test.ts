import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("the page names the plugins that are not ready, across blocks", async () => {
  const address = `127.0.0.1:${20000 + (process.pid % 10000)}`;
  const block = (zone: string) => `${zone} {\n ready ${address}\n kubernetes ${zone} {\n startup_timeout 1ms\n }\n}\n`;
  const starting = serve(block("a.test") + block("b.test"));
  const server = await starting;
  const get = async () => {
    const response = await fetch(`http://${address}/ready`);
    return `${response.status} ${await response.text()}`;
  };
  assert.equal(await get(), "200 OK");
  assert.equal((await fetch(`http://${address}/other`)).status, 404);
  server.stop();
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("clients are told where they ask from", async () => {
  const server = await serve(". {\n whoami\n}");
  assert.equal(
    await server.text("Example.org. MX"),
    "NOERROR aa\nadditional Example.org. 0 A 192.0.2.99\nadditional _udp.Example.org. 0 SRV 0 0 40212 .",
  );
  assert.match(
    await server.text("a. A", { from: "2001:db8::1", protocol: "tcp" }),
    /a. 0 AAAA 2001:db8::1\nadditional _tcp.a. 0 SRV/,
  );
  server.stop();
});

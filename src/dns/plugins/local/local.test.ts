import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("names of this machine are answered here, all others go on", async () => {
  const server = await serve(". {\n local\n whoami\n}");
  const rows: readonly (readonly [string, RegExp])[] = [
    ["localhost A", /^NOERROR aa\nlocalhost. 86400 A 127.0.0.1$/],
    ["localhost AAAA", /86400 AAAA ::1$/],
    ["localhost MX", /^NOERROR aa\nauthority localhost. 86400 SOA/],
    ["x.localhost A", /^NXDOMAIN/],
    ["localhost.default.svc.cluster.local A", /^NOERROR aa\nlocalhost.default.svc.cluster.local. 86400 A 127.0.0.1$/],
    ["1.0.0.127.in-addr.arpa PTR", /PTR localhost.$/],
    ["2.0.0.127.in-addr.arpa PTR", /^NXDOMAIN/],
    ["127.in-addr.arpa NS", /NS localhost.$/],
    ["255.in-addr.arpa SOA", /^NOERROR aa\n255.in-addr.arpa. 86400 SOA/],
    [`1.${"0.".repeat(31)}ip6.arpa PTR`, /PTR localhost.$/],
    ["example. A", /additional/],
  ];
  for (const [question, expected] of rows) assert.match(await server.text(question), expected, question);
  server.stop();
});

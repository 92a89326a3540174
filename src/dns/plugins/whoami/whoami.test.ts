import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";
import { CLASS } from "../../wire/codes.ts";

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

test("records have the class of the query, and a name of full length has none below it", async () => {
  const server = await serve('. {\n chaos "x"\n whoami\n}');
  const question = { name: "a.", type: 1, class: CLASS.CH };
  const reply = await server.ask("a. A", { message: { questions: [question] } });
  assert.deepEqual(
    reply?.additional.map((one) => one.class),
    [CLASS.CH, CLASS.CH],
  );
  const long = `${`${"a".repeat(63)}.`.repeat(3)}${"a".repeat(61)}.`;
  assert.equal(await server.text(`${long} A`), `NOERROR aa\nadditional ${long} 0 A 192.0.2.99`);
  server.stop();
});

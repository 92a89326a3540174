import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

const zone = `template IN A here {
  answer "{{ .Name }} 60 IN A 192.0.2.1"
}
template IN ANY gone {
  rcode NXDOMAIN
  authority "gone. 60 IN SOA a. b. 1 2 3 4 5"
}`;

test("the common format has what is known of query and reply", async () => {
  const server = await serve(`. {\n log\n ${zone}\n}`);
  const edns = { udpSize: 1400, version: 0, do: true, options: [] };
  await server.ask("A.here. A", { message: { edns } });
  await server.ask("b.gone. MX", { from: "2001:db8::1", protocol: "tcp" });
  assert.deepEqual(server.log, [
    '[INFO] 192.0.2.99:40212 - 4711 "A IN A.here. udp 35 true 1400" NOERROR qr,aa,rd 53 0.000000000s',
    '[INFO] [2001:db8::1]:40212 - 4711 "MX IN b.gone. tcp 24 false 65535" NXDOMAIN qr,aa,rd 62 0.000000000s',
  ]);
  server.stop();
});

test("names, classes of replies and formats can be chosen", async () => {
  const server = await serve(
    `. {\n metadata\n log gone "{name} {rcode} {unknown} {/kubernetes/kind}" {\n class denial\n }\n log here {\n class error\n }\n ${zone}\n}`,
  );
  for (const question of ["a.here. A", "a.gone. A", "a.other. A"]) await server.ask(question);
  assert.deepEqual(server.log, ["[INFO] a.gone. NXDOMAIN {unknown} -"]);
  server.stop();
});

test("the combined format has the operation code, and addresses of IPv6 are in brackets", async () => {
  const server = await serve(`. {\n log here {combined}\n log gone "{local} {remote}"\n ${zone}\n}`);
  await server.ask("a.here. A");
  await server.ask("a.gone. A", { from: "2001:db8::1" });
  assert.match(server.log[0] ?? "", / NOERROR qr,aa,rd 40 0\.0+s "0"$/);
  assert.equal(server.log[1], "[INFO] 192.0.2.53 [2001:db8::1]");
  server.stop();
});

test("faults of the directive are reported", async () => {
  await assert.rejects(serve(". {\n log {\n class loud\n }\n}"), /'loud' must be one of success, denial, error, all/);
});

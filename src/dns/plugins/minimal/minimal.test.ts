import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../testing.ts";

test("answers lose their other sections, denials keep them", async () => {
  const server = await serve(`. {
    minimal
    template IN A yes {
      answer "{{ .Name }} 60 IN A 192.0.2.1"
      authority "yes. 60 IN NS ns.yes."
      additional "ns.yes. 60 IN A 192.0.2.2"
    }
    template IN A no {
      rcode NXDOMAIN
      authority "no. 60 IN SOA a. b. 1 2 3 4 5"
    }
  }`);
  assert.equal(await server.text("a.yes. A"), "NOERROR aa\na.yes. 60 A 192.0.2.1");
  assert.match(await server.text("a.no. A"), /^NXDOMAIN aa\nauthority/);
  server.stop();
});

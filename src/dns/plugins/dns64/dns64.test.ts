import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import { serve } from "../../testing.ts";
import { translate } from "./dns64.ts";

test("addresses are put into prefixes of each length (RFC 6052 2.4)", () => {
  const rows = [
    ["2001:db8::/32", "2001:db8:c000:221::"],
    ["2001:db8:100::/40", "2001:db8:1c0:2:21::"],
    ["2001:db8:122::/48", "2001:db8:122:c000:2:2100::"],
    ["2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"],
    ["2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100:0"],
    ["2001:db8:122:344::/96", "2001:db8:122:344::c000:221"],
  ] as const;
  for (const [prefix, expected] of rows) {
    assert.equal(translate(parseAddress("192.0.2.33"), parsePrefix(prefix)), parseAddress(expected), prefix);
  }
});

const names = `
  template IN A four.example both.example {
    answer "{{ .Name }} 60 IN A 192.0.2.33"
  }
  template IN AAAA both.example {
    answer "{{ .Name }} 60 IN AAAA 2001:db8::7"
  }
  template IN AAAA four.example {
    authority "example. 30 IN SOA a. b. 1 2 3 4 5"
  }
  template IN ANY none.example {
    rcode NXDOMAIN
  }`;

test("names without IPv6 addresses get translated ones, for clients that come over IPv6", async () => {
  const server = await serve(`. {\n dns64\n ${names}\n}`);
  const six = { from: "2001:db8::99" };
  assert.equal(await server.text("a.four.example AAAA", six), "NOERROR aa\na.four.example. 30 AAAA 64:ff9b::c000:221");
  assert.match(await server.text("a.both.example AAAA", six), /2001:db8::7$/);
  assert.match(await server.text("a.none.example AAAA", six), /^NXDOMAIN/);
  assert.match(await server.text("a.four.example A", six), /192.0.2.33/);
  assert.match(await server.text("a.four.example AAAA"), /^NOERROR aa\nauthority/);
  server.stop();
  const all = await serve(`. {\n dns64 {\n translate_all\n allow_ipv4\n prefix 2001:db8:1::/96\n }\n ${names}\n}`);
  assert.match(await all.text("a.both.example AAAA"), /60 AAAA 2001:db8:1::c000:221/);
  all.stop();
});

test("faults of the directive are reported", async () => {
  await assert.rejects(serve(". {\n dns64 2001:db8::/33\n}"), /must be an IPv6 prefix of length/);
  await assert.rejects(serve(". {\n dns64 {\n foo\n }\n}"), /unknown property 'foo'/);
});

test("translated queries are counted by the server's listen address", async () => {
  const server = await serve(`. {
    bind 192.0.2.53
    dns64
    template IN A {
      answer "{{ .Name }} 60 IN A 192.0.2.1"
    }
    template IN AAAA {
      rcode NOERROR
    }
  }`);
  assert.match(await server.text("a. AAAA", { from: "2001:db8::1" }), /64:ff9b::c000:201/);
  assert.equal(server.metric('coredns_dns64_requests_translated_total{server="dns://192.0.2.53:53"}'), 1);
  server.stop();
});

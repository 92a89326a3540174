import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "../json.ts";
import { endpointSlice, endpoints } from "./endpoints.ts";
import type { Kind } from "./kind.ts";

const problems = (kind: Kind, object: JsonObject) =>
  (kind.validate?.(object) ?? []).map(({ field, message }) => `${field}: ${message}`);

test("endpoints that no node could send packets to are refused, as proxies would", () => {
  const slice = (address: string, addressType = "IPv4") => {
    return problems(endpointSlice, { addressType, endpoints: [{ addresses: [address] }] });
  };
  assert.deepEqual(slice("10.0.0.1"), []);
  assert.deepEqual(slice("web.example", "FQDN"), []);
  const at = "endpoints[0].addresses[0]: Invalid value:";
  assert.deepEqual(slice("127.0.0.1"), [`${at} "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`]);
  assert.deepEqual(slice("0.0.0.0"), [`${at} "0.0.0.0": may not be unspecified (0.0.0.0)`]);
  assert.match(slice("fe80::1", "IPv6")[0] ?? "", /may not be in the link-local range/);
  assert.deepEqual(slice("10.0.0.1", "IPv6"), [`${at} "10.0.0.1": must be an IPv6 address`]);
  const older = (ip: string) =>
    problems(endpoints, { subsets: [{ addresses: [{ ip }], ports: [{ port: 80, protocol: "TCP" }] }] });
  assert.deepEqual(older("10.0.0.1"), []);
  assert.match(older("169.254.1.1")[0] ?? "", /^subsets\[0\].addresses\[0\].ip: .*link-local range/);
  assert.match(older("web")[0] ?? "", /must be a valid IP address/);
});

test("endpoints have an address, and slices not more than they may", () => {
  assert.deepEqual(problems(endpoints, { subsets: [{}] }), [
    "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
  ]);
  const addresses = Array.from({ length: 101 }, (_, i) => `10.0.0.${i}`);
  assert.deepEqual(problems(endpointSlice, { addressType: "IPv4", endpoints: [{ addresses }] }), [
    "endpoints[0].addresses: Too many: 101: must have at most 100 items",
  ]);
});

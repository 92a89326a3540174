import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../../../net/address.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import type { JsonObject } from "../json.ts";
import { service as kind, prepareService } from "../kinds/service.ts";
import { validateService } from "../kinds/servicerules.ts";
import { withDefaults } from "../schema/decode.ts";
import { chooseFamilies } from "./families.ts";
import { addressAt, chooseFree, isUsable, usableAddresses } from "./ranges.ts";

test("families follow the policy, the addresses given and what the cluster has", () => {
  const four = ["IPv4"] as const;
  const both = ["IPv4", "IPv6"] as const;
  const cases: readonly (readonly [JsonObject, readonly ("IPv4" | "IPv6")[], string])[] = [
    [{}, four, "IPv4 SingleStack"],
    [{}, both, "IPv4 SingleStack"],
    [{ ipFamilyPolicy: "PreferDualStack" }, both, "IPv4,IPv6 PreferDualStack"],
    [{ ipFamilyPolicy: "PreferDualStack" }, four, "IPv4 PreferDualStack"],
    [{ ipFamilies: ["IPv6"], ipFamilyPolicy: "RequireDualStack" }, both, "IPv6,IPv4 RequireDualStack"],
    [{ ipFamilies: ["IPv6"] }, both, "IPv6 SingleStack"],
    [{ clusterIP: "fd00::5" }, both, "IPv6 SingleStack"],
    [{ clusterIP: "None" }, four, "IPv4,IPv6 RequireDualStack"],
    [{ clusterIP: "None", selector: { a: "b" } }, four, "IPv4 SingleStack"],
  ];
  for (const [spec, configured, wanted] of cases) {
    const choice = chooseFamilies(spec, undefined, configured);
    assert.ok(choice.problems === undefined);
    assert.equal(`${choice.families} ${choice.policy}`, wanted);
  }
  const refusals: readonly (readonly [JsonObject, RegExp])[] = [
    [{ ipFamilyPolicy: "RequireDualStack" }, /not configured for dual-stack/],
    [{ ipFamilies: ["IPv6"] }, /not configured on this cluster/],
    [{ ipFamilies: ["IPv4", "IPv6"] }, /must be RequireDualStack or PreferDualStack/],
  ];
  for (const [spec, message] of refusals) {
    const { problems } = chooseFamilies(spec, undefined, four);
    assert.match(problems?.[0]?.message ?? "", message);
  }
  const downgrade = chooseFamilies(
    { ipFamilyPolicy: "SingleStack", ipFamilies: [...both] },
    { ipFamilyPolicy: "PreferDualStack" },
    both,
  );
  assert.deepEqual(downgrade.problems === undefined && downgrade.families, ["IPv4"]);
});

test("addresses of a range are counted without its first, and for IPv4 its last", () => {
  const range = parsePrefix("10.96.0.0/30");
  assert.equal(usableAddresses(range), 2);
  assert.deepEqual([addressAt(range, 0), addressAt(range, 1)], ["10.96.0.1", "10.96.0.2"]);
  assert.ok(!isUsable(range, parseAddress("10.96.0.3")) && !isUsable(range, parseAddress("10.96.0.0")));
  assert.equal(addressAt(parsePrefix("10.96.0.0/12"), 255), "10.96.1.0");
  assert.equal(addressAt(parsePrefix("fd00::/108"), 0xffff), "fd00::1:0");
});

test("a free place is found for as long as there is one, and the reserved ones go last", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(40), (size, reserved) => {
      const taken = new Set<number>();
      const early: number[] = [];
      for (let i = 0; i < size; i++) {
        const place = chooseFree(size, Math.min(reserved, size), (at) => taken.has(at), Math.random);
        assert.ok(place !== undefined && place >= 0 && place < size && !taken.has(place));
        taken.add(place);
        early.push(place);
      }
      assert.equal(
        chooseFree(size, Math.min(reserved, size), (at) => taken.has(at), Math.random),
        undefined,
      );
      assert.ok(early.slice(0, size - Math.min(reserved, size)).every((place) => place >= Math.min(reserved, size)));
    }),
  );
});

const complete = (spec: JsonObject): JsonObject =>
  prepareService(withDefaults(kind.schema, { metadata: { name: "web", namespace: "default" }, spec }), undefined);
const port = { port: 80 };
const problemsOf = (spec: JsonObject) =>
  validateService(complete(spec)).map(({ field, message }) => `${field}: ${message}`);

test("Services get the defaults of their type", () => {
  assert.deepEqual(complete({ type: "LoadBalancer", ports: [port] }).spec, {
    type: "LoadBalancer",
    sessionAffinity: "None",
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Cluster",
    allocateLoadBalancerNodePorts: true,
  });
  const affine = complete({ sessionAffinity: "ClientIP", ports: [port] }).spec as JsonObject;
  assert.deepEqual(affine.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10_800 } });
});

test("what is wrong with a Service is said in upstream's words", () => {
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{}, "spec.ports: Required value"],
    [{ ports: [{ port: 0 }] }, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
    [
      { ports: [{ port: 80, protocol: "ICMP" }] },
      'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ],
    [{ ports: [port, { port: 81 }] }, "spec.ports[0].name: Required value"],
    [
      {
        ports: [
          { port: 80, name: "a" },
          { port: 81, name: "a" },
        ],
      },
      'spec.ports[1].name: Duplicate value: "a"',
    ],
    [
      { ports: [port], type: "Cluster" },
      'spec.type: Unsupported value: "Cluster": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
    [
      { ports: [{ ...port, nodePort: 30000 }] },
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ],
    [
      { ports: [port], type: "NodePort", clusterIP: "None" },
      "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
    ],
    [
      { ports: [port], externalTrafficPolicy: "Local" },
      'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ],
    [
      { ports: [port], sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } } },
      "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
    ],
    [
      { ports: [port], clusterIP: "10.0.0" },
      'spec.clusterIPs[0]: Invalid value: "10.0.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
    [
      { ports: [port], externalIPs: ["127.0.0.1"] },
      'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
    [{ type: "ExternalName" }, "spec.externalName: Required value"],
  ];
  for (const [spec, wanted] of cases)
    assert.ok(problemsOf(spec).includes(wanted), `${JSON.stringify(spec)}: ${problemsOf(spec)}`);
  assert.deepEqual(problemsOf({ ports: [port], type: "NodePort", selector: { app: "web" } }), []);
});

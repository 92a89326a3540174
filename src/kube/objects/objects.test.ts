import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Endpoints as ApiEndpoints, Node as ApiNode, Service as ApiService } from "kubernetes-types/core/v1";
import type { EndpointSlice as ApiEndpointSlice } from "kubernetes-types/discovery/v1";
import type { ServiceCIDR as ApiServiceCIDR } from "kubernetes-types/networking/v1alpha1";
import { endpointSlicesOf } from "./endpoints.ts";
import { projectEndpointSlice } from "./endpointslice.ts";
import { projectNode, projectServiceCIDR } from "./node.ts";
import type { Projected } from "./resource.ts";
import { projectService } from "./service.ts";

// The samples have the types of the published API and every field that a projection reads: a field that is misspelt
// here does not compile, and one that is misspelt in the projection does not arrive.
const apiService: ApiService = {
  metadata: { namespace: "shop", name: "web", uid: "u1" },
  spec: {
    type: "LoadBalancer",
    clusterIP: "10.96.0.10",
    clusterIPs: ["10.96.0.10", "FD00:0::10"],
    externalIPs: ["192.0.2.7"],
    loadBalancerSourceRanges: [" 198.51.100.77/24 "],
    ports: [
      { name: "http", protocol: "TCP", port: 80, nodePort: 30080 },
      { name: "dns", protocol: "UDP", port: 53 },
    ],
    externalTrafficPolicy: "Local",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 32000,
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
  },
  status: {
    loadBalancer: {
      ingress: [{ ip: "203.0.113.1" }, { hostname: "lb.example" }, { ip: "203.0.113.2", ipMode: "Proxy" }],
    },
  },
};

const apiSlice: ApiEndpointSlice = {
  metadata: {
    namespace: "shop",
    name: "web-abc",
    labels: { "kubernetes.io/service-name": "web" },
    annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05.123456789Z" },
  },
  addressType: "IPv4",
  ports: [{ name: "http", protocol: "TCP", port: 8080 }, { name: "unset" }],
  endpoints: [
    {
      addresses: ["10.0.0.1", "10.0.0.9"],
      conditions: { ready: false, serving: true, terminating: true },
      nodeName: "node-a",
      hints: { forZones: [{ name: "z1" }] },
    },
    { addresses: ["10.0.0.2"] },
  ],
};

const apiNode: ApiNode = {
  metadata: {
    name: "node-a",
    uid: "u2",
    labels: { "topology.kubernetes.io/zone": "z1" },
    deletionTimestamp: "2026-01-02T03:04:05Z",
  },
  spec: {
    podCIDR: "10.244.1.0/24",
    podCIDRs: ["10.244.1.0/24", "fd00:1::/64"],
    taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }],
  },
  status: {
    addresses: [
      { type: "Hostname", address: "node-a" },
      { type: "ExternalIP", address: "203.0.113.5" },
      { type: "InternalIP", address: "172.18.0.2" },
      { type: "InternalIP", address: "fc00::2" },
    ],
  },
};

const apiServiceCIDR: ApiServiceCIDR = {
  metadata: { name: "kubernetes" },
  spec: { cidrs: ["10.96.0.0/12", "fd00::/112"] },
};

const apiEndpoints: ApiEndpoints = {
  metadata: { namespace: "shop", name: "web", annotations: apiSlice.metadata?.annotations ?? {} },
  subsets: [
    {
      addresses: [{ ip: "10.0.0.1", nodeName: "node-a" }, { ip: "fd00::1" }],
      notReadyAddresses: [{ ip: "10.0.0.2" }],
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    },
    { addresses: [{ ip: "10.0.0.3" }], ports: [{ port: 9090 }] },
  ],
};

test("a Service keeps what service networking uses, in canonical form", () => {
  assert.deepEqual(projectService(apiService), {
    outcome: "object",
    object: {
      kind: "Service",
      namespace: "shop",
      name: "web",
      uid: "u1",
      type: "LoadBalancer",
      clusterIPs: ["10.96.0.10", "fd00::10"],
      externalIPs: ["192.0.2.7"],
      loadBalancerIPs: [
        { ip: "203.0.113.1", ipMode: "VIP" },
        { ip: "203.0.113.2", ipMode: "Proxy" },
      ],
      loadBalancerSourceRanges: ["198.51.100.0/24"],
      ports: [
        { name: "http", protocol: "TCP", port: 80, nodePort: 30080 },
        { name: "dns", protocol: "UDP", port: 53, nodePort: 0 },
      ],
      externalTrafficPolicy: "Local",
      internalTrafficPolicy: "Cluster",
      healthCheckNodePort: 32000,
      affinitySeconds: 60,
    },
  });
});

test("an EndpointSlice keeps each endpoint's first address, and ports that have a number", () => {
  assert.deepEqual(projectEndpointSlice(apiSlice), {
    outcome: "object",
    object: {
      kind: "EndpointSlice",
      namespace: "shop",
      name: "web-abc",
      service: "web",
      family: "IPv4",
      ports: [{ name: "http", protocol: "TCP", port: 8080 }],
      endpoints: [
        { address: "10.0.0.1", ready: false, serving: true, terminating: true, nodeName: "node-a", zoneHints: ["z1"] },
        { address: "10.0.0.2", ready: true, serving: true, terminating: false, nodeName: "" },
      ],
      lastChangeTriggerTime: Date.UTC(2026, 0, 2, 3, 4, 5, 123),
    },
  });
});

test("hints for nodes are kept beside those for zones", () => {
  // The published types end before hints.forNodes (KEP-3015).
  const endpoint = { addresses: ["10.0.0.1"], hints: { forZones: null, forNodes: [{ name: "node-a" }] } };
  const slice = expectObject(projectEndpointSlice({ ...apiSlice, endpoints: [endpoint] }));
  assert.deepEqual(slice.endpoints[0]?.nodeHints, ["node-a"]);
  assert.equal(slice.endpoints[0]?.zoneHints, undefined);
});

test("a Node keeps its InternalIPs before its ExternalIPs", () => {
  assert.deepEqual(expectObject(projectNode(apiNode)), {
    kind: "Node",
    name: "node-a",
    uid: "u2",
    addresses: ["172.18.0.2", "fc00::2", "203.0.113.5"],
    podCIDRs: ["10.244.1.0/24", "fd00:1::/64"],
    zone: "z1",
    deleting: true,
    taints: ["ToBeDeletedByClusterAutoscaler"],
  });
});

test("a ServiceCIDR keeps its ranges", () => {
  const cidrs = ["10.96.0.0/12", "fd00::/112"];
  assert.deepEqual(expectObject(projectServiceCIDR(apiServiceCIDR)), {
    kind: "ServiceCIDR",
    name: "kubernetes",
    cidrs,
  });
});

test("Endpoints become one EndpointSlice for each subset and family", () => {
  const slices = expectObject(endpointSlicesOf(apiEndpoints)).map((raw) => expectObject(projectEndpointSlice(raw)));
  assert.deepEqual(
    slices.map(({ name, service, family, ports, endpoints }) => ({
      name,
      service,
      family,
      port: ports[0]?.port,
      endpoints: endpoints.map(({ address, ready, nodeName }) => `${address} ${ready} ${nodeName}`),
    })),
    [
      {
        name: "web-subset-0-ipv4",
        service: "web",
        family: "IPv4",
        port: 8080,
        endpoints: ["10.0.0.1 true node-a", "10.0.0.2 false "],
      },
      { name: "web-subset-0-ipv6", service: "web", family: "IPv6", port: 8080, endpoints: ["fd00::1 true "] },
      { name: "web-subset-1-ipv4", service: "web", family: "IPv4", port: 9090, endpoints: ["10.0.0.3 true "] },
    ],
  );
  assert.equal(slices[0]?.lastChangeTriggerTime, Date.UTC(2026, 0, 2, 3, 4, 5, 123));
});

test("what a Service leaves out has the defaults of the API", () => {
  const service = expectObject(
    projectService({
      metadata: { namespace: "default", name: "a", uid: null },
      spec: { clusterIP: "None", ports: [{ port: 80 }], sessionAffinity: "ClientIP", externalIPs: null },
    }),
  );
  assert.deepEqual(service.clusterIPs, []);
  assert.deepEqual(service.ports, [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }]);
  assert.equal(service.affinitySeconds, 10800);
  assert.equal(service.type, "ClusterIP");
  assert.equal(service.externalTrafficPolicy, "Cluster");
});

test("a Service may name its scheduler, by a name that a scheduler can have", () => {
  const named = (scheduler: string) =>
    projectService({
      metadata: { namespace: "shop", name: "web", annotations: { "portolan.io/ipvs-scheduler": scheduler } },
      spec: {},
    });
  const projected = named("lc");
  assert.equal(projected.outcome === "object" && projected.object.scheduler, "lc");
  assert.notEqual(named("a b").outcome, "object");
});

test("slices of host names are ignored without a word", () => {
  assert.deepEqual(projectEndpointSlice({ ...apiSlice, addressType: "FQDN" }), { outcome: "ignored" });
});

const serviceWith = (spec: object) => ({ ...apiService, spec: { ...apiService.spec, ...spec } });
const sliceWith = (fields: object) => ({ ...apiSlice, ...fields });

const refusals: readonly (readonly [what: string, () => Projected<unknown>, problem: string])[] = [
  ["null", () => projectService(null), "metadata.namespace: Required value: a DNS label"],
  ["a list", () => projectService([]), "Service: Invalid value: [...]: must be an object"],
  [
    "a port out of range",
    () =>
      projectService(
        serviceWith({
          ports: [
            { name: "a", port: 80 },
            { name: "b", port: 70000 },
          ],
        }),
      ),
    "spec.ports[1].port: Invalid value: 70000: must be 1 to 65535",
  ],
  [
    "a port without a number",
    () => projectService(serviceWith({ ports: [{}] })),
    "spec.ports[0].port: Required value: 1 to 65535",
  ],
  [
    "ports without names",
    () => projectService(serviceWith({ ports: [{ name: "a", port: 80 }, { port: 81 }] })),
    "spec.ports[1].name: Required value: a DNS label",
  ],
  [
    "the same port twice",
    () =>
      projectService(
        serviceWith({
          ports: [
            { name: "a", port: 80 },
            { name: "b", port: 80 },
          ],
        }),
      ),
    'spec.ports[1].port: Invalid value: "TCP 80": is that of another port of this Service',
  ],
  [
    "an unknown protocol",
    () => projectService(serviceWith({ ports: [{ port: 80, protocol: "ICMP" }] })),
    'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
  ],
  [
    "an address that is none",
    () => projectService(serviceWith({ clusterIPs: ["10.96.0.256"] })),
    'spec.clusterIPs[0]: Invalid value: "10.96.0.256": must be an IPv4 or IPv6 address',
  ],
  [
    "two cluster IPs of one family",
    () => projectService(serviceWith({ clusterIPs: ["10.96.0.1", "10.96.0.2"] })),
    'spec.clusterIPs: Invalid value: "10.96.0.1,10.96.0.2": must have one address of each family at most',
  ],
  [
    "a source range that is none",
    () => projectService(serviceWith({ loadBalancerSourceRanges: ["10.0.0.0/33"] })),
    'spec.loadBalancerSourceRanges[0]: Invalid value: "10.0.0.0/33": must be a prefix like 10.0.0.0/8 or fd00::/8',
  ],
  [
    "an affinity longer than a day",
    () => projectService(serviceWith({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } } })),
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be 1 to 86400",
  ],
  [
    "a name that no API server takes",
    () => projectService({ ...apiService, metadata: { namespace: "shop", name: "web; reboot" } }),
    'metadata.name: Invalid value: "web; reboot": must be a DNS label: lower-case letters, digits and "-"',
  ],
  [
    "an endpoint of the other family",
    () => projectEndpointSlice(sliceWith({ addressType: "IPv6" })),
    'endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be an IPv6 address, as addressType says',
  ],
  [
    "an endpoint without an address",
    () => projectEndpointSlice(sliceWith({ endpoints: [{ addresses: [] }] })),
    "endpoints[0].addresses: Required value: at least one address",
  ],
  [
    "an endpoint on loopback",
    () => projectEndpointSlice(sliceWith({ endpoints: [{ addresses: ["127.0.0.1"] }] })),
    'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": must not be an unspecified, loopback or link-local address',
  ],
  [
    "a condition that is neither true nor false",
    () => projectEndpointSlice(sliceWith({ endpoints: [{ addresses: ["10.0.0.1"], conditions: { ready: "yes" } }] })),
    'endpoints[0].conditions.ready: Invalid value: "yes": must be true or false',
  ],
  [
    "a slice of no Service",
    () => projectEndpointSlice(sliceWith({ metadata: { namespace: "shop", name: "web" } })),
    "metadata.labels[kubernetes.io/service-name]: Required value: a DNS label",
  ],
  [
    "an unknown address type",
    () => projectEndpointSlice(sliceWith({ addressType: "IP" })),
    'addressType: Unsupported value: "IP": supported values: "IPv4", "IPv6"',
  ],
  [
    "a node with an address that is none",
    () => projectNode({ metadata: { name: "n" }, status: { addresses: [{ type: "InternalIP", address: "x" }] } }),
    'status.addresses[0].address: Invalid value: "x": must be an IPv4 or IPv6 address',
  ],
  [
    "Endpoints with an address that is none",
    () => endpointSlicesOf({ metadata: { name: "a" }, subsets: [{ addresses: [{ ip: "1.2.3" }] }] }),
    'subsets[0].addresses[0].ip: Invalid value: "1.2.3": must be an IPv4 or IPv6 address',
  ],
];

for (const [what, project, problem] of refusals) {
  test(`an object with ${what} is refused whole, with the field's path`, () => {
    const projected = project();
    assert.equal(projected.outcome, "invalid");
    assert.ok(projected.outcome === "invalid" && projected.problems.includes(problem), JSON.stringify(projected));
  });
}

test("an object of garbage has few and short problems", () => {
  const ports = Array.from({ length: 1000 }, () => ({ name: "x".repeat(10_000), port: "y".repeat(10_000) }));
  const projected = projectService(serviceWith({ ports }));
  assert.ok(projected.outcome === "invalid" && projected.problems.length <= 10);
  assert.ok(JSON.stringify(projected).length < 3000);
});

test("no projection throws, whatever it is given", () => {
  const projections = [projectService, projectEndpointSlice, projectNode, projectServiceCIDR, endpointSlicesOf];
  const samples = [apiService, apiSlice, apiNode, apiServiceCIDR, apiEndpoints];
  /** The sample with one of its parts, at any depth, replaced. */
  const damage = (value: unknown, path: readonly number[], junk: unknown): unknown => {
    if (path.length === 0 || typeof value !== "object" || value === null) return junk;
    const keys = Object.keys(value);
    const key = keys[(path[0] ?? 0) % keys.length] ?? "";
    const copy: Record<string, unknown> = { ...value };
    copy[key] = damage(copy[key], path.slice(1), junk);
    return Array.isArray(value) ? Object.values(copy) : copy;
  };
  const anything = fc.oneof(fc.anything(), fc.jsonValue());
  fc.assert(
    fc.property(fc.nat(4), fc.array(fc.nat(20), { maxLength: 6 }), anything, (which, path, junk) => {
      const projected = projections[which]?.(damage(samples[which], path, junk));
      assert.ok(projected && ["object", "invalid", "ignored"].includes(projected.outcome));
    }),
    { numRuns: 2000 },
  );
});

function expectObject<T>(projected: Projected<T>): T {
  assert.equal(projected.outcome, "object", JSON.stringify(projected));
  if (projected.outcome !== "object") throw new Error("unreachable");
  return projected.object;
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decisionKey } from "./decision.ts";
import { decide, type PolicyContext } from "./policy.ts";
import { describeDecision, here, port, type ServiceChange, service, slice } from "./testing.ts";

interface Case {
  readonly name: string;
  readonly service?: ServiceChange;
  /** Endpoints of the one slice, or the endpoints of each slice. */
  readonly endpoints?: readonly string[] | readonly (readonly string[])[];
  readonly context?: Partial<PolicyContext>;
  readonly expected: readonly string[];
}

const two = ["10.244.0.1 @here", "10.244.1.1 @there"];
const remote = ["10.244.1.1 @there", "10.244.2.1 @elsewhere"];
const all = "pod=cluster node=cluster/masq other=cluster/masq";
const external = "pod=cluster/masq node=cluster/masq other=cluster/masq";
const reject = "pod=reject node=reject other=reject";
const drop = "pod=drop node=drop other=drop";
const bothEndpoints = "cluster 10.244.0.1:8080 10.244.1.1:8080";
const bothRemote = "cluster 10.244.1.1:8080 10.244.2.1:8080";
const clusterIP = `ClusterIP 10.96.0.1:80 ${all}`;
const withoutDetector: Partial<PolicyContext> = { families: { IPv4: { detector: false } } };

const cases: readonly Case[] = [
  { name: "a cluster IP balances over all ready endpoints", endpoints: two, expected: [clusterIP, bothEndpoints] },
  {
    name: "endpoints that are not ready are left out",
    endpoints: [...two, "10.244.1.2 @there unready", "10.244.1.3 @there serving", "10.244.1.4 @there terminating"],
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "serving endpoints that terminate are used when nothing is ready, whatever their hints",
    endpoints: ["10.244.1.1 @there terminating zones=b", "10.244.1.2 @there gone", "10.244.1.3 serving"],
    expected: [clusterIP, "cluster 10.244.1.1:8080"],
  },
  {
    name: "without any usable endpoint everything is rejected",
    service: {
      type: "LoadBalancer",
      ports: [port(80, "", "TCP", 30080)],
      externalIPs: ["198.51.100.1"],
      loadBalancerIPs: ["203.0.113.1"],
      externalTrafficPolicy: "Local",
      internalTrafficPolicy: "Local",
    },
    endpoints: ["10.244.1.2 @there gone", "10.244.1.3 @there unready", "10.244.1.4 @there serving"],
    expected: [
      `ClusterIP 10.96.0.1:80 ${reject}`,
      `LoadBalancerIP 203.0.113.1:80 ${reject}`,
      `ExternalIP 198.51.100.1:80 ${reject}`,
      `NodePort 30080 ${reject}`,
    ],
  },
  { name: "without slices everything is rejected", expected: [`ClusterIP 10.96.0.1:80 ${reject}`] },
  {
    name: "masqueradeAll masquerades pods too, at cluster IPs",
    endpoints: two,
    context: { masqueradeAll: true },
    expected: [`ClusterIP 10.96.0.1:80 ${external}`, bothEndpoints],
  },
  {
    name: "without a detector nobody is masqueraded at a cluster IP",
    endpoints: two,
    context: withoutDetector,
    expected: ["ClusterIP 10.96.0.1:80 pod=cluster node=cluster other=cluster", bothEndpoints],
  },
  {
    name: "masqueradeAll needs no detector",
    endpoints: two,
    context: { ...withoutDetector, masqueradeAll: true },
    expected: [`ClusterIP 10.96.0.1:80 ${external}`, bothEndpoints],
  },
  {
    name: "masqueradeAll does not reach external traffic of policy Local",
    service: { type: "NodePort", ports: [port(80, "", "TCP", 30080)], externalTrafficPolicy: "Local" },
    endpoints: two,
    context: { masqueradeAll: true },
    expected: [
      `ClusterIP 10.96.0.1:80 ${external}`,
      "NodePort 30080 pod=cluster node=cluster/masq other=local",
      bothEndpoints,
      "local 10.244.0.1:8080",
    ],
  },
  {
    name: "external front ends of policy Cluster masquerade everyone",
    service: {
      type: "LoadBalancer",
      ports: [port(80, "", "TCP", 30080)],
      externalIPs: ["198.51.100.1"],
      loadBalancerIPs: ["203.0.113.1"],
    },
    endpoints: two,
    expected: [
      clusterIP,
      `LoadBalancerIP 203.0.113.1:80 ${external}`,
      `ExternalIP 198.51.100.1:80 ${external}`,
      `NodePort 30080 ${external}`,
      bothEndpoints,
    ],
  },
  {
    name: "external policy Cluster masquerades without a detector too",
    service: { type: "NodePort", ports: [port(80, "", "TCP", 30080)] },
    endpoints: two,
    context: withoutDetector,
    expected: [
      "ClusterIP 10.96.0.1:80 pod=cluster node=cluster other=cluster",
      `NodePort 30080 ${external}`,
      bothEndpoints,
    ],
  },
  {
    name: "external policy Local keeps the client's address on local endpoints; pods and the node reach all",
    service: { type: "LoadBalancer", loadBalancerIPs: ["203.0.113.1"], externalTrafficPolicy: "Local" },
    endpoints: two,
    expected: [
      clusterIP,
      "LoadBalancerIP 203.0.113.1:80 pod=cluster node=cluster/masq other=local",
      bothEndpoints,
      "local 10.244.0.1:8080",
    ],
  },
  {
    name: "a load balancer of policy Local has a health check",
    service: { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31000 },
    endpoints: two,
    expected: [clusterIP, bothEndpoints, "health check 31000"],
  },
  {
    name: "a load balancer of policy Cluster has no health check",
    service: { type: "LoadBalancer", healthCheckNodePort: 31000 },
    endpoints: two,
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "a node port of policy Local has no health check",
    service: { type: "NodePort", externalTrafficPolicy: "Local", healthCheckNodePort: 31000 },
    endpoints: two,
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "external policy Local without local endpoints drops others, pods and the node reach all",
    service: { type: "LoadBalancer", loadBalancerIPs: ["203.0.113.1"], externalTrafficPolicy: "Local" },
    endpoints: remote,
    expected: [clusterIP, "LoadBalancerIP 203.0.113.1:80 pod=cluster node=cluster/masq other=drop", bothRemote],
  },
  {
    name: "external policy Local without a detector short-circuits the node alone",
    service: { type: "LoadBalancer", loadBalancerIPs: ["203.0.113.1"], externalTrafficPolicy: "Local" },
    endpoints: two,
    context: withoutDetector,
    expected: [
      "ClusterIP 10.96.0.1:80 pod=cluster node=cluster other=cluster",
      "LoadBalancerIP 203.0.113.1:80 pod=local node=cluster/masq other=local",
      bothEndpoints,
      "local 10.244.0.1:8080",
    ],
  },
  {
    name: "external policy Local without a detector and without local endpoints drops all but the node",
    service: { type: "NodePort", ports: [port(80, "", "TCP", 30080)], externalTrafficPolicy: "Local" },
    endpoints: remote,
    context: withoutDetector,
    expected: [
      "ClusterIP 10.96.0.1:80 pod=cluster node=cluster other=cluster",
      "NodePort 30080 pod=drop node=cluster/masq other=drop",
      bothRemote,
    ],
  },
  {
    name: "external policy Local falls back to terminating endpoints of the node, not to those elsewhere",
    service: { type: "NodePort", ports: [port(80, "", "TCP", 30080)], externalTrafficPolicy: "Local" },
    endpoints: ["10.244.0.1 @here terminating", "10.244.0.2 @here unready", "10.244.1.1 @there"],
    expected: [
      clusterIP,
      "NodePort 30080 pod=cluster node=cluster/masq other=local",
      "cluster 10.244.1.1:8080",
      "local 10.244.0.1:8080",
    ],
  },
  {
    name: "internal policy Local uses the endpoints of the node alone",
    service: { internalTrafficPolicy: "Local" },
    endpoints: two,
    expected: ["ClusterIP 10.96.0.1:80 pod=local node=local/masq other=local/masq", "local 10.244.0.1:8080"],
  },
  {
    name: "internal policy Local without local endpoints drops",
    service: { internalTrafficPolicy: "Local" },
    endpoints: remote,
    expected: [`ClusterIP 10.96.0.1:80 ${drop}`],
  },
  {
    name: "internal policy Local falls back to terminating endpoints of the node",
    service: { internalTrafficPolicy: "Local" },
    endpoints: ["10.244.0.1 @here terminating", "10.244.1.1 @there"],
    expected: ["ClusterIP 10.96.0.1:80 pod=local node=local/masq other=local/masq", "local 10.244.0.1:8080"],
  },
  {
    name: "internal policy Local with a node port balances the node port over the cluster",
    service: { type: "NodePort", internalTrafficPolicy: "Local", ports: [port(80, "", "TCP", 30080)] },
    endpoints: remote,
    expected: [`ClusterIP 10.96.0.1:80 ${drop}`, `NodePort 30080 ${external}`, bothRemote],
  },
  {
    name: "both policies Local share the endpoints of the node",
    service: {
      type: "NodePort",
      internalTrafficPolicy: "Local",
      externalTrafficPolicy: "Local",
      ports: [port(80, "", "TCP", 30080)],
    },
    endpoints: two,
    expected: [
      "ClusterIP 10.96.0.1:80 pod=local node=local/masq other=local/masq",
      "NodePort 30080 pod=cluster node=cluster/masq other=local",
      bothEndpoints,
      "local 10.244.0.1:8080",
    ],
  },
  {
    name: "external policy Local means nothing to a ClusterIP Service without external IPs",
    service: { loadBalancerIPs: ["203.0.113.1"], externalTrafficPolicy: "Local" },
    endpoints: remote,
    expected: [clusterIP, `LoadBalancerIP 203.0.113.1:80 ${external}`, bothRemote],
  },
  {
    name: "external policy Local holds for a ClusterIP Service with external IPs",
    service: { externalIPs: ["198.51.100.1"], externalTrafficPolicy: "Local" },
    endpoints: remote,
    expected: [clusterIP, "ExternalIP 198.51.100.1:80 pod=cluster node=cluster/masq other=drop", bothRemote],
  },
  {
    name: "an endpoint without a node is nobody's local endpoint",
    service: { internalTrafficPolicy: "Local" },
    endpoints: ["10.244.0.1"],
    expected: [`ClusterIP 10.96.0.1:80 ${drop}`],
  },
  {
    name: "node hints keep traffic on the node",
    endpoints: ["10.244.0.1 @here nodes=here", "10.244.1.1 @there nodes=there"],
    expected: [clusterIP, "cluster 10.244.0.1:8080"],
  },
  {
    name: "node hints go before zone hints",
    endpoints: ["10.244.0.1 @here nodes=here zones=b", "10.244.1.1 @there nodes=there zones=a"],
    expected: [clusterIP, "cluster 10.244.0.1:8080"],
  },
  {
    name: "zone hints hold where node hints name no endpoint for the node",
    endpoints: ["10.244.1.1 @there nodes=there zones=a", "10.244.2.1 @elsewhere nodes=elsewhere zones=b"],
    expected: [clusterIP, "cluster 10.244.1.1:8080"],
  },
  {
    name: "zone hints hold where one endpoint has no node hint",
    endpoints: ["10.244.0.1 @here nodes=here zones=b", "10.244.1.1 @there zones=a"],
    expected: [clusterIP, "cluster 10.244.1.1:8080"],
  },
  {
    name: "zone hints may name several zones",
    endpoints: ["10.244.0.1 @here zones=b,a", "10.244.1.1 @there zones=b"],
    expected: [clusterIP, "cluster 10.244.0.1:8080"],
  },
  {
    name: "zone hints are ignored when one ready endpoint has none",
    endpoints: ["10.244.0.1 @here zones=a", "10.244.1.1 @there"],
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "endpoints that are not ready need no hints",
    endpoints: ["10.244.0.1 @here zones=a", "10.244.1.1 @there zones=b", "10.244.1.2 @there unready"],
    expected: [clusterIP, "cluster 10.244.0.1:8080"],
  },
  {
    name: "zone hints are ignored when none is for this zone",
    endpoints: ["10.244.0.1 @here zones=b", "10.244.1.1 @there zones=c"],
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "zone hints are ignored on a node without a zone",
    endpoints: ["10.244.0.1 @here zones=a", "10.244.1.1 @there zones=b"],
    context: { zone: "" },
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "hints do not bind the endpoints of policy Local",
    service: { type: "NodePort", ports: [port(80, "", "TCP", 30080)], externalTrafficPolicy: "Local" },
    endpoints: ["10.244.0.1 @here zones=b", "10.244.1.1 @there zones=a"],
    expected: [
      clusterIP,
      "NodePort 30080 pod=cluster node=cluster/masq other=local",
      "cluster 10.244.1.1:8080",
      "local 10.244.0.1:8080",
    ],
  },
  {
    name: "session affinity carries over",
    service: { affinitySeconds: 10_800 },
    endpoints: two,
    expected: [clusterIP, bothEndpoints, "affinity 10800"],
  },
  {
    name: "an endpoint in two slices counts once",
    endpoints: [["10.244.0.1 @here", "10.244.1.1 @there"], ["10.244.0.1 @here"]],
    expected: [clusterIP, bothEndpoints],
  },
  {
    name: "of two mentions of an endpoint the local one wins",
    service: { internalTrafficPolicy: "Local" },
    endpoints: [["10.244.0.1 @there"], ["10.244.0.1 @here"]],
    expected: ["ClusterIP 10.96.0.1:80 pod=local node=local/masq other=local/masq", "local 10.244.0.1:8080"],
  },
  {
    name: "of two mentions of an endpoint the ready one wins",
    endpoints: [["10.244.0.1 @here unready"], ["10.244.0.1 @here"]],
    expected: [clusterIP, "cluster 10.244.0.1:8080"],
  },
  {
    name: "endpoints are sorted as text",
    endpoints: ["10.244.0.9", "10.244.0.10", "10.244.0.1"],
    expected: [clusterIP, "cluster 10.244.0.10:8080 10.244.0.1:8080 10.244.0.9:8080"],
  },
  {
    name: "load balancers that proxy are left to themselves",
    service: { type: "LoadBalancer", loadBalancerIPs: ["203.0.113.1(Proxy)", "203.0.113.2"] },
    endpoints: two,
    expected: [clusterIP, `LoadBalancerIP 203.0.113.2:80 ${external}`, bothEndpoints],
  },
  {
    name: "source ranges close a load balancer, not its node port",
    service: {
      type: "LoadBalancer",
      ports: [port(80, "", "TCP", 30080)],
      loadBalancerIPs: ["203.0.113.1"],
      loadBalancerSourceRanges: ["198.51.100.0/24", "10.0.0.0/8"],
    },
    endpoints: two,
    expected: [
      clusterIP,
      `LoadBalancerIP 203.0.113.1:80 from 10.0.0.0/8,198.51.100.0/24 ${external}`,
      `NodePort 30080 ${external}`,
      bothEndpoints,
    ],
  },
  {
    name: "where the node may, its load-balancer addresses may",
    service: {
      type: "LoadBalancer",
      loadBalancerIPs: ["203.0.113.2", "203.0.113.1"],
      loadBalancerSourceRanges: ["192.168.0.0/24"],
    },
    endpoints: two,
    expected: [
      clusterIP,
      `LoadBalancerIP 203.0.113.1:80 from 192.168.0.0/24,203.0.113.1/32,203.0.113.2/32 ${external}`,
      `LoadBalancerIP 203.0.113.2:80 from 192.168.0.0/24,203.0.113.1/32,203.0.113.2/32 ${external}`,
      bothEndpoints,
    ],
  },
  {
    name: "source ranges of the other family restrict nobody",
    service: {
      type: "LoadBalancer",
      loadBalancerIPs: ["203.0.113.1"],
      loadBalancerSourceRanges: ["fd00::/8"],
    },
    endpoints: two,
    expected: [clusterIP, `LoadBalancerIP 203.0.113.1:80 ${external}`, bothEndpoints],
  },
  {
    name: "a source range of everyone restricts nobody",
    service: {
      type: "LoadBalancer",
      loadBalancerIPs: ["203.0.113.1"],
      loadBalancerSourceRanges: ["10.0.0.0/8", "0.0.0.0/0"],
    },
    endpoints: two,
    expected: [clusterIP, `LoadBalancerIP 203.0.113.1:80 ${external}`, bothEndpoints],
  },
  {
    name: "external IPs can be switched off; what hangs on them goes too",
    service: { internalTrafficPolicy: "Local", externalIPs: ["198.51.100.1"] },
    endpoints: two,
    context: { allowExternalIPs: false },
    expected: ["ClusterIP 10.96.0.1:80 pod=local node=local/masq other=local/masq", "local 10.244.0.1:8080"],
  },
  {
    name: "an address with several roles has one front end",
    service: {
      type: "LoadBalancer",
      externalIPs: ["10.96.0.1", "203.0.113.1", "198.51.100.1", "198.51.100.1"],
      loadBalancerIPs: ["203.0.113.1", "203.0.113.1", "10.96.0.1"],
    },
    endpoints: two,
    expected: [
      clusterIP,
      `LoadBalancerIP 203.0.113.1:80 ${external}`,
      `ExternalIP 198.51.100.1:80 ${external}`,
      bothEndpoints,
    ],
  },
  {
    name: "addresses of the other family are left out",
    service: {
      type: "LoadBalancer",
      externalIPs: ["2001:db8::1", "198.51.100.1"],
      loadBalancerIPs: ["2001:db8::2", "203.0.113.1"],
    },
    endpoints: [two, ["fd00:244::1 @here"]],
    expected: [
      clusterIP,
      `LoadBalancerIP 203.0.113.1:80 ${external}`,
      `ExternalIP 198.51.100.1:80 ${external}`,
      bothEndpoints,
    ],
  },
  {
    name: "IPv6 alone follows the same rules",
    service: {
      type: "LoadBalancer",
      clusterIPs: ["fd00:96::1"],
      ports: [port(80, "", "TCP", 30080)],
      loadBalancerIPs: ["2001:db8::2"],
      loadBalancerSourceRanges: ["fd00:192::/64", "10.0.0.0/8"],
      externalTrafficPolicy: "Local",
    },
    endpoints: ["fd00:244::1 @here", "fd00:244:1::1 @there"],
    expected: [
      `ClusterIP [fd00:96::1]:80 ${all}`,
      "LoadBalancerIP [2001:db8::2]:80 from 2001:db8::2/128,fd00:192::/64 pod=cluster node=cluster/masq other=local",
      "NodePort 30080 pod=cluster node=cluster/masq other=local",
      "cluster [fd00:244:1::1]:8080 [fd00:244::1]:8080",
      "local [fd00:244::1]:8080",
    ],
  },
  { name: "an ExternalName Service has no decisions", service: { type: "ExternalName" }, endpoints: two, expected: [] },
  { name: "a headless Service has no decisions", service: { clusterIPs: [] }, endpoints: two, expected: [] },
  {
    name: "a family that the node does not serve has no decisions",
    service: { clusterIPs: ["fd00:96::1"] },
    endpoints: ["fd00:244::1"],
    context: { families: { IPv4: { detector: true } } },
    expected: [],
  },
];

describe("decide", () => {
  for (const { name, service: change, endpoints = [], context, expected } of cases) {
    test(name, () => {
      const lists = endpoints.map((item) => (typeof item === "string" ? undefined : item));
      const slices = lists.includes(undefined)
        ? [slice(endpoints as readonly string[])]
        : lists.map((list, i) => slice(list ?? [], { name: `web-${i}` }));
      const decisions = decide(service(change), slices, { ...here, ...context });
      assert.deepEqual(decisions.flatMap(describeDecision), expected);
    });
  }

  test("each port finds its endpoints by name and protocol", () => {
    const ports = [
      port(53, "dns", "UDP"),
      port(53, "dns-tcp", "TCP"),
      port(9153, "metrics"),
      port(132, "assoc", "SCTP"),
    ];
    const slices = [
      slice(["10.244.0.1 @here"], {
        ports: [
          { name: "dns", protocol: "UDP", port: 5353 },
          { name: "dns-tcp", protocol: "TCP", port: 5354 },
          { name: "assoc", protocol: "SCTP", port: 1132 },
          { name: "metrics", protocol: "UDP", port: 9999 },
        ],
      }),
    ];
    const decisions = decide(service({ ports }), slices, here);
    assert.deepEqual(
      decisions.map((decision) => [decisionKey(decision.service, decision.family), decision.cluster[0]?.port]),
      [
        ["shop/web:dns/UDP/IPv4", 5353],
        ["shop/web:dns-tcp/TCP/IPv4", 5354],
        ["shop/web:metrics/TCP/IPv4", undefined],
        ["shop/web:assoc/SCTP/IPv4", 1132],
      ],
    );
  });

  test("a port that slices map to several target ports has them all", () => {
    const slices = [
      slice(["10.244.0.1 @here"], { name: "web-a" }),
      slice(["10.244.1.1 @there"], { name: "web-b", ports: [{ name: "", protocol: "TCP", port: 9090 }] }),
    ];
    assert.deepEqual(decide(service(), slices, here).flatMap(describeDecision), [
      clusterIP,
      "cluster 10.244.0.1:8080 10.244.1.1:9090",
    ]);
  });

  test("of two mentions of an endpoint that differ in hints alone, the order of slices chooses none", () => {
    const slices = [
      slice(["10.244.0.1 zones=a", "10.244.1.1 zones=b"], { name: "web-a" }),
      slice(["10.244.0.1 zones=b"], { name: "web-b" }),
    ];
    assert.deepEqual(decide(service(), slices, here), decide(service(), slices.toReversed(), here));
  });

  test("the families of a dual-stack Service are decided apart", () => {
    const decisions = decide(
      service({ clusterIPs: ["fd00:96::1", "10.96.0.1"], type: "NodePort", ports: [port(80, "", "TCP", 30080)] }),
      [slice(two), slice(["fd00:244::1 @here"], { name: "web-6" })],
      { ...here, families: { IPv4: { detector: true }, IPv6: { detector: false } } },
    );
    assert.deepEqual(
      decisions.map(({ family }) => family),
      ["IPv4", "IPv6"],
    );
    assert.deepEqual(decisions.flatMap(describeDecision), [
      clusterIP,
      `NodePort 30080 ${external}`,
      bothEndpoints,
      "ClusterIP [fd00:96::1]:80 pod=cluster node=cluster other=cluster",
      `NodePort 30080 ${external}`,
      "cluster [fd00:244::1]:8080",
    ]);
  });

  test("endpoints say whether they may be on this node", () => {
    const [decision] = decide(service(), [slice([...two, "10.244.9.9"])], here);
    assert.deepEqual(
      decision?.cluster.map(({ address, local }) => [address, local]),
      [
        ["10.244.0.1", true],
        ["10.244.1.1", false],
        ["10.244.9.9", true],
      ],
    );
  });
});

/** Short forms of objects and decisions, for tests. */

import type { EndpointSlice, SliceEndpoint } from "../kube/objects/endpointslice.ts";
import type { Service } from "../kube/objects/service.ts";
import { parseAddress } from "../net/address.ts";
import { parsePrefix } from "../net/prefix.ts";
import type { Protocol } from "../net/protocol.ts";
import { formatHostPort } from "../net/protocol.ts";
import type { Decision, FrontEnd, Outcome } from "./decision.ts";
import type { PolicyContext } from "./policy.ts";

/** Node `here` in zone `a`, both families, pods known, cluster IPs for pods not masqueraded. */
export const here: PolicyContext = {
  nodeName: "here",
  zone: "a",
  families: {
    IPv4: { detector: true, nodeAddress: parseAddress("192.168.0.1") },
    IPv6: { detector: true, nodeAddress: parseAddress("fd00:192::1") },
  },
  masqueradeAll: false,
  allowExternalIPs: true,
};

/** The fields of a Service in which a test differs from `shop/web`, TCP port 80, cluster IP 10.96.0.1. */
export interface ServiceChange
  extends Partial<Omit<Service, "clusterIPs" | "externalIPs" | "loadBalancerIPs" | "loadBalancerSourceRanges">> {
  readonly clusterIPs?: readonly string[];
  readonly externalIPs?: readonly string[];
  /** Addresses; those of ipMode Proxy with a trailing `(Proxy)`. */
  readonly loadBalancerIPs?: readonly string[];
  readonly loadBalancerSourceRanges?: readonly string[];
}

/** The Service `shop/web`, with changes. */
export function service(change: ServiceChange = {}): Service {
  const { clusterIPs, externalIPs, loadBalancerIPs, loadBalancerSourceRanges, ...rest } = change;
  return {
    kind: "Service",
    namespace: "shop",
    name: "web",
    uid: "1",
    type: "ClusterIP",
    clusterIPs: (clusterIPs ?? ["10.96.0.1"]).map(parseAddress),
    externalIPs: (externalIPs ?? []).map(parseAddress),
    loadBalancerIPs: (loadBalancerIPs ?? []).map((text) => ({
      ip: parseAddress(text.replace("(Proxy)", "")),
      ipMode: text.endsWith("(Proxy)") ? "Proxy" : "VIP",
    })),
    loadBalancerSourceRanges: (loadBalancerSourceRanges ?? []).map(parsePrefix),
    ports: [port(80)],
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    affinitySeconds: 0,
    ...rest,
  };
}

/** A port of a Service. */
export function port(number: number, name = "", protocol: Protocol = "TCP", nodePort = 0): Service["ports"][number] {
  return { name, protocol, port: number, nodePort };
}

/** An EndpointSlice of `shop/web`, target port 8080, of the family of its endpoints. */
export function slice(endpoints: readonly string[], change: Partial<EndpointSlice> = {}): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: "shop",
    name: "web-1",
    service: "web",
    family: endpoints[0]?.split(" ")[0]?.includes(":") ? "IPv6" : "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
    endpoints: endpoints.map(endpoint),
    lastChangeTriggerTime: 0,
    ...change,
  };
}

/**
 * An endpoint: its address, then words: `@NODE`, `ready`, `serving` (not ready), `terminating` (serving, not ready),
 * `gone` (terminating, not serving), `unready`, `zones=a,b`, `nodes=here`. Ready without words.
 */
export function endpoint(text: string): SliceEndpoint {
  const [address = "", ...words] = text.split(" ");
  const hints = (name: string) =>
    words
      .find((word) => word.startsWith(`${name}=`))
      ?.slice(name.length + 1)
      .split(",");
  const zoneHints = hints("zones");
  const nodeHints = hints("nodes");
  return {
    address: parseAddress(address),
    ready: !words.some((word) => ["serving", "terminating", "gone", "unready"].includes(word)),
    serving: !words.includes("gone") && !words.includes("unready"),
    terminating: words.includes("terminating") || words.includes("gone"),
    nodeName: words.find((word) => word.startsWith("@"))?.slice(1) ?? "",
    ...(zoneHints && { zoneHints }),
    ...(nodeHints && { nodeHints }),
  };
}

/**
 * A decision in lines: `ClusterIP 10.96.0.1:80 pod=cluster node=cluster/masq other=cluster/masq`, then the pools that
 * are not empty: `cluster 10.244.0.1:8080 10.244.1.1:8080`, then `affinity 10` and
 * `health check 31000`.
 */
export function describeDecision(decision: Decision): readonly string[] {
  const pool = (name: "cluster" | "local") =>
    decision[name].length === 0
      ? []
      : [`${name} ${decision[name].map((e) => formatHostPort(e.address, e.port)).join(" ")}`];
  return [
    ...decision.frontEnds.map(describeFrontEnd),
    ...pool("cluster"),
    ...pool("local"),
    ...(decision.affinitySeconds > 0 ? [`affinity ${decision.affinitySeconds}`] : []),
    ...(decision.healthCheckNodePort === undefined ? [] : [`health check ${decision.healthCheckNodePort}`]),
  ];
}

function describeFrontEnd(frontEnd: FrontEnd): string {
  const { pod, node, other } = frontEnd.outcomes;
  const where = frontEnd.kind === "NodePort" ? `${frontEnd.port}` : formatHostPort(frontEnd.address, frontEnd.port);
  const sources = frontEnd.kind === "LoadBalancerIP" && frontEnd.sources ? ` from ${frontEnd.sources.join(",")}` : "";
  return `${frontEnd.kind} ${where}${sources} pod=${say(pod)} node=${say(node)} other=${say(other)}`;
}

function say(outcome: Outcome): string {
  return outcome.kind === "balance" ? `${outcome.pool}${outcome.masquerade ? "/masq" : ""}` : outcome.kind;
}

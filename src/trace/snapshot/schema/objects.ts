/** The objects of a cluster, as far as a snapshot keeps them. */
import { address, flag, list, maybe, object, oneOf, prefix, record, type Shape, text, whole } from "../shape.ts";
import { count, family, mac, million, name, u16 } from "./values.ts";

const protocol = oneOf("TCP", "UDP", "SCTP");
const few = 1000;
const policy = oneOf("Cluster", "Local");
const numberOrName: Shape = (value, path) => (typeof value === "number" ? u16(value, path) : name(value, path));

const service = object({
  kind: oneOf("Service"),
  namespace: name,
  name,
  uid: name,
  type: oneOf("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
  clusterIPs: list(address, few),
  externalIPs: list(address, few),
  loadBalancerIPs: list(object({ ip: address, ipMode: oneOf("VIP", "Proxy") }), few),
  loadBalancerSourceRanges: list(prefix, few),
  ports: list(object({ name: text(64), protocol, port: u16, nodePort: u16 }), few),
  externalTrafficPolicy: policy,
  internalTrafficPolicy: policy,
  healthCheckNodePort: u16,
  affinitySeconds: count,
  scheduler: maybe(name),
  selector: record(name, few),
  targetPorts: list(numberOrName, few),
  publishNotReady: flag,
});

const slice = object({
  kind: oneOf("EndpointSlice"),
  namespace: name,
  name,
  service: name,
  family,
  ports: list(object({ name: text(64), protocol, port: u16 }), few),
  endpoints: list(
    object({
      address,
      ready: flag,
      serving: flag,
      terminating: flag,
      nodeName: name,
      zoneHints: maybe(list(name, few)),
      nodeHints: maybe(list(name, few)),
    }),
    million,
  ),
  lastChangeTriggerTime: count,
});

const pod = object({
  namespace: name,
  name,
  labels: record(name, few),
  node: name,
  addresses: list(address, few),
  hostNetwork: flag,
  phase: name,
  ready: flag,
  created: maybe(count),
  readinessSince: maybe(count),
  deleting: flag,
  ports: list(object({ name: text(64), protocol, port: u16 }), few),
});

const node = object({
  name,
  addresses: list(address, few),
  podCIDRs: list(prefix, few),
  zone: maybe(name),
  flannel: maybe(object({ mac, publicIP: name, vni: whole() })),
});

export const objects = object({
  services: list(service, million),
  slices: list(slice, million),
  pods: list(pod, million),
  nodes: list(node, million),
});

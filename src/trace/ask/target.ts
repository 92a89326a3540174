/** TO: addresses, protocol and port. */
import type { Address, Family } from "../../net/address.ts";
import { type Protocol, protocolNumbers } from "../../net/protocol.ts";
import { namesInRules } from "../explain/comments.ts";
import type { CheckedPod, CheckedService } from "../snapshot/objects.ts";
import type { Cluster } from "../walk/cluster.ts";
import { type Asking, findNode, findPod, findService, nodeAddresses, unknown } from "./lookup.ts";
import type { To } from "./parse.ts";

/** What is asked for. */
export interface Target {
  readonly addresses: readonly Address[];
  readonly protocol: Protocol | "ICMP";
  readonly port?: number;
}

/** The part of a packet that is not its addresses. */
export function layerOf(family: Family, { protocol, port }: Target) {
  if (protocol === "ICMP")
    return family === "IPv4" ? { protocol: 1, icmpType: 8 } : ({ protocol: 58, icmpType: 128 } as const);
  return { protocol: protocolNumbers[protocol], ...(port !== undefined && { destinationPort: port }) };
}

/** Finds TO. @throws {RangeError} a sentence that says what is not known. */
export function resolveTo(cluster: Cluster, to: To, asking: Asking): Target {
  const { end } = to;
  if (end.kind === "address") return withPort([end.address], to, to.port);
  const service = end.kind === "service" || end.kind === "any" ? findService(cluster, end, asking) : undefined;
  if (service !== undefined) return ofService(service, to);
  const pod = end.kind === "pod" || end.kind === "any" ? findPod(cluster, end, asking) : undefined;
  if (pod !== undefined) return ofPod(pod, to);
  const world = end.namespace === undefined ? findNode(cluster, end.name) : undefined;
  if (world !== undefined && end.kind !== "service") return withPort(nodeAddresses(cluster, world), to, to.port);
  if (cluster.objects === undefined && (end.kind === "service" || end.kind === "any")) {
    const target = ofRules(cluster, { ...end, namespace: end.namespace ?? asking.namespace }, to);
    if (target !== undefined) return target;
  }
  const { services = [], pods = [] } = cluster.objects ?? {};
  const names = [...services, ...pods].map((each) => `${each.namespace}/${each.name}`);
  throw new RangeError(unknown(`TO ${nameOf(to)}`, cluster, names, `${end.namespace ?? asking.namespace}/${end.name}`));
}

function withPort(addresses: readonly Address[], to: To, port: number | string | undefined): Target {
  if (to.protocol === "icmp") return { addresses, protocol: "ICMP" };
  if (typeof port !== "number") throw new RangeError(`TO ${nameOf(to)}: say which port, as a number`);
  return { addresses, protocol: (to.protocol?.toUpperCase() as Protocol | undefined) ?? "TCP", port };
}

function ofService(service: CheckedService, to: To): Target {
  const title = `service ${service.namespace}/${service.name}`;
  const addresses = service.clusterIPs;
  if (addresses.length === 0) {
    throw new RangeError(
      `${title} has no address of its own (${service.type === "ExternalName" ? "ExternalName" : "headless"}): name one of its pods`,
    );
  }
  if (to.protocol === "icmp") return { addresses, protocol: "ICMP" };
  const protocol = to.protocol?.toUpperCase();
  const fitting = service.ports.filter(
    (port) =>
      (protocol === undefined || port.protocol === protocol) &&
      (to.port === undefined || port.name === to.port || port.port === to.port),
  );
  const [port] = fitting;
  const listed = service.ports.map((each) => `${each.name || "port"} ${each.port}/${each.protocol.toLowerCase()}`);
  if (port !== undefined && (fitting.length === 1 || to.port !== undefined)) {
    return { addresses, protocol: port.protocol, port: port.port };
  }
  if (to.port === undefined) throw new RangeError(`${title} has several ports: say which of ${listed.join(", ")}`);
  // A port that the Service does not have is a question, too.
  if (typeof to.port === "number") return withPort(addresses, to, to.port);
  throw new RangeError(`${title} has no port ${to.port}: there are ${listed.join(", ")}`);
}

/** Without the API's objects: a Service's cluster IP, as comments of rules name it; undefined if none does. */
function ofRules(cluster: Cluster, named: { namespace: string; name: string }, to: To): Target | undefined {
  const all = namesInRules(cluster.worlds.map(({ snapshot }) => snapshot)).frontEnds.filter(
    ({ service, kind }) =>
      kind === "cluster IP" && service.namespace === named.namespace && service.name === named.name,
  );
  const addresses = [...new Set(all.flatMap(({ address }) => (address === undefined ? [] : [address])))];
  if (addresses.length === 0) return undefined;
  if (to.protocol === "icmp") return { addresses, protocol: "ICMP" };
  const protocol = to.protocol?.toUpperCase();
  const fitting = all.filter(
    (each) =>
      (protocol === undefined || each.protocol === protocol) &&
      (to.port === undefined || each.service.port === to.port || each.port === to.port),
  );
  const ends = [...new Set(fitting.map((each) => `${each.port}/${each.protocol}`))];
  const [found] = fitting;
  if (found !== undefined && (ends.length === 1 || to.port !== undefined)) {
    return { addresses, protocol: found.protocol, port: found.port };
  }
  if (typeof to.port === "number") return withPort(addresses, to, to.port);
  const listed = [
    ...new Set(all.map((each) => `${each.service.port || "port"} ${each.port}/${each.protocol.toLowerCase()}`)),
  ];
  const title = `service ${named.namespace}/${named.name}, as rules name it,`;
  throw new RangeError(
    to.port === undefined
      ? `${title} has several ports: say which of ${listed.join(", ")}`
      : `${title} has no port ${to.port}: there are ${listed.join(", ")}`,
  );
}

function ofPod(pod: CheckedPod, to: To): Target {
  if (typeof to.port === "number" || to.protocol === "icmp") return withPort(pod.addresses, to, to.port);
  const wanted = to.protocol?.toUpperCase();
  const fitting = pod.ports.filter(
    (each) => (to.port === undefined || each.name === to.port) && (wanted === undefined || each.protocol === wanted),
  );
  const [port] = fitting;
  if (port === undefined || (to.port === undefined && fitting.length > 1)) {
    const listed = pod.ports.map((each) => `${each.name || "port"} ${each.port}/${each.protocol.toLowerCase()}`);
    throw new RangeError(
      `pod ${pod.namespace}/${pod.name}: say which port${listed.length === 0 ? ", as a number" : `: ${listed.join(", ")}`}`,
    );
  }
  return { addresses: pod.addresses, protocol: port.protocol, port: port.port };
}

/** What people call it. */
export function nameOf({ end }: To): string {
  if (end.kind === "address") return end.address;
  return end.namespace === undefined ? end.name : `${end.namespace}/${end.name}`;
}

/** Failures whose cause stands in a Service, its endpoints, or the proxy that should know them. */

import { familyOf } from "../../net/address.ts";
import { prefixContains, prefixFamily } from "../../net/prefix.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { Ended } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import { type FrontEnd, titleOf } from "./names.ts";
import type { Context, Reason } from "./reason.ts";

/** A proxy's rule refuses what nobody serves. */
export function refusedByService({ state }: Ended, context: Context): Reason | undefined {
  const { names, frontEnd, asked } = context;
  if (frontEnd === undefined || state.connection?.destinationTranslated === true) return undefined;
  const { service } = frontEnd;
  const endpoints = names.endpoints(frontEnd);
  const usable = endpoints.filter((each) => each.usable && familyOf(each.address) === asked.family);
  const title = titleOf(frontEnd);
  if (usable.length === 0) return withoutEndpoints(frontEnd, context);
  const external = frontEnd.kind !== "cluster IP";
  const policy = external ? service.externalTrafficPolicy : service.internalTrafficPolicy;
  const field = external ? "externalTrafficPolicy" : "internalTrafficPolicy";
  const here = usable.filter(({ node }) => node === state.place);
  if (policy === "Local" && here.length === 0) {
    const nodes = [...new Set(usable.map(({ node }) => node))].slice(0, 4).join(", ");
    return {
      text: `${title} has ${field} Local, and none of its endpoints is on ${state.place} (they are on ${nodes}): a node sends ${external ? "clients from outside" : "its own clients"} to its own pods only`,
      remedy: external
        ? `ask a node that has one, have the load balancer look at health check port ${service.healthCheckNodePort || "of the Service"}, or set externalTrafficPolicy: Cluster`
        : "a pod on every node that has clients (DaemonSet), or internalTrafficPolicy: Cluster",
    };
  }
  const ranges = service.loadBalancerSourceRanges;
  const inRange = ranges.some((range) => prefixFamily(range) === asked.family && prefixContains(range, asked.source));
  if (frontEnd.kind === "load balancer's address" && ranges.length > 0 && !inRange) {
    return {
      text: `${title} is for clients of ${ranges.slice(0, 4).join(", ")} only (loadBalancerSourceRanges), and ${asked.source} is none of them`,
      remedy: "add the client's prefix to spec.loadBalancerSourceRanges",
    };
  }
  return undefined;
}

function withoutEndpoints({ service, port }: FrontEnd, { names }: Context): Reason {
  const title = titleOf({ service });
  const selector = Object.entries(service.selector);
  const written = selector.map(([key, value]) => `${key}=${value}`).join(",");
  if (selector.length === 0) {
    return {
      text: `${title} has no endpoints: it has no selector, and nobody has written any for it`,
      remedy: `kubectl -n ${service.namespace} get endpointslices -l kubernetes.io/service-name=${service.name}`,
    };
  }
  const pods = (names.objects?.pods ?? []).filter(
    (pod) => pod.namespace === service.namespace && selector.every(([key, value]) => pod.labels[key] === value),
  );
  if (pods.length === 0) {
    return {
      text: `${title} has no endpoints: no pod of namespace ${service.namespace} has the labels of its selector, ${written}`,
      remedy: `make the selector, or the labels of the pods, right: kubectl -n ${service.namespace} get pods --show-labels`,
    };
  }
  const unready = pods.filter(({ ready }) => !ready);
  if (unready.length === pods.length) {
    const listed = unready.slice(0, 3).map(({ name, phase }) => `${name} (${phase || "no phase"})`);
    return {
      text: `${title} has no endpoints: none of the ${pods.length} pods that its selector finds is ready: ${listed.join(", ")}`,
      remedy: `kubectl -n ${service.namespace} describe pod ${unready[0]?.name}`,
    };
  }
  return {
    text: `${title} has no endpoints for its port ${port.name || port.port}, though pods that its selector finds are ready: targetPort names a port that they do not have`,
    remedy: `compare targetPort with the containers' ports: kubectl -n ${service.namespace} get service ${service.name} -o yaml`,
  };
}

/** A Service leads to a port on which its pods do not listen. */
export function wrongTargetPort({ outcome, state }: Ended, { names, frontEnd, cluster }: Context): Reason | undefined {
  if (outcome.kind !== "no socket" || frontEnd === undefined) return undefined;
  const { address, port } = outcome.to;
  if (!names.endpoints(frontEnd).some((each) => each.address === address && each.port === port)) return undefined;
  const { service } = frontEnd;
  const protocol = frontEnd.port.protocol;
  const sockets = cluster.world(state.place)?.snapshot.sockets ?? [];
  const open = [...new Set(sockets.filter((each) => each.protocol === protocol).map((each) => each.port))]
    .sort((a, b) => a - b)
    .slice(0, 8);
  const target = service.targetPorts[service.ports.indexOf(frontEnd.port)] ?? port;
  const listening = open.length === 0 ? "no port at all" : `${protocol} ${open.join(", ")}`;
  return {
    text: `${titleOf(frontEnd)} sends its port ${frontEnd.port.port} to port ${port} of its pods (targetPort ${target}), and nobody listens there, but on ${listening}`,
    remedy: "set targetPort to the port, or the port's name, on which the container listens",
  };
}

/** Nobody turned the address of a Service into that of an endpoint. */
export function untranslated({ outcome, state }: Ended, context: Context): Reason | undefined {
  const { frontEnd, asked, names } = context;
  const { destination, destinationPort } = state.packet;
  const ended = outcome.kind === "rejected" || outcome.kind === "dropped" || outcome.kind === "unknown";
  if (frontEnd === undefined || ended || state.awaited !== undefined) return undefined;
  if (destination !== asked.destination || destinationPort !== asked.destinationPort) return undefined;
  // Where the walk did not get to a node yet, nobody had to.
  const node = stepsOf(state).find((step) => step.kind === "place" && step.role === "node");
  if (node?.kind !== "place") return undefined;
  const shown = destinationPort === undefined ? destination : formatHostPort(destination, destinationPort);
  const endpoints = names.endpoints(frontEnd).filter(({ usable }) => usable).length;
  return {
    text: `no rule of ${node.place} turns ${shown}, the ${frontEnd.kind} of ${titleOf(frontEnd)}, into one of its ${endpoints} endpoints: the rules of the service proxy are not there (a proxy of eBPF programs would not be seen)`,
    remedy: `is the proxy of ${node.place} running, and has somebody flushed its rules (firewall reload)? nft list ruleset; curl http://localhost:10256/healthz`,
  };
}

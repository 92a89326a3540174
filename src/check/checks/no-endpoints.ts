import type { EndpointSlice } from "../../kube/objects/endpointslice.ts";
import type { ServicePort } from "../../kube/objects/service.ts";
import type { CheckedPod, CheckedService } from "../../trace/snapshot/objects.ts";
import type { Facts } from "../facts.ts";
import { type Check, type Finding, some } from "../finding.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";
import type { Workload } from "../workloads.ts";

type Found = Omit<Finding, "check">;

/** Seconds that pods may take to start. */
const patience = 60;

/** Services that nobody is behind. */
export const noEndpoints: Check = {
  name: "no-endpoints",
  about:
    "Whether every Service with an address has endpoints, and if not, why: the selector, the pods' readiness, or a port's name.",
  seen: [
    "kubernetes/kubernetes#7341",
    "kubernetes/kubernetes#47711",
    "kubernetes/kubernetes#88012",
    "kubernetes/website#26681",
  ],
  run(facts) {
    const { cluster } = facts;
    if (cluster === undefined) return [];
    const slices = slicesByService(cluster);
    const pods = Map.groupBy(cluster.pods, ({ namespace }) => namespace);
    return cluster.services
      .filter(({ type, clusterIPs }) => type !== "ExternalName" && clusterIPs.length > 0)
      .flatMap((service) =>
        judge(service, slices.get(serviceTitle(service)) ?? [], pods.get(service.namespace) ?? [], facts),
      );
  },
};

function judge(
  service: CheckedService,
  slices: readonly EndpointSlice[],
  pods: readonly CheckedPod[],
  facts: Facts,
): readonly Found[] {
  const without = service.ports.filter((port) => !endpointsOf(slices, port).some(isUsable));
  if (without.length === 0) return [];
  const title = serviceTitle(service);
  const all = without.length === service.ports.length;
  const ports = without.map(({ name, port, protocol }) => `${name === "" ? "" : `${name} `}${port}/${protocol}`);
  const refused = "Whoever asks is refused.";
  const found = (severity: Found["severity"], why: string, remedy: string, ...run: string[]): readonly Found[] => [
    {
      severity,
      subject: title,
      message: `${title}${all ? "" : `, port ${some(ports)},`} has no endpoints: ${why}. ${refused}`,
      remedy,
      run,
    },
  ];
  const slicesOf = `kubectl -n ${service.namespace} get endpointslices -l kubernetes.io/service-name=${service.name} -o yaml`;
  const selector = Object.entries(service.selector);
  const someEndpoints = slices.some(({ endpoints }) => endpoints.some(isUsable));
  if (selector.length === 0) {
    if (someEndpoints)
      return found(
        "error",
        portsOfSlices(without, slices),
        "name the ports of the EndpointSlices as those of the Service",
        slicesOf,
      );
    return found(
      "warning",
      "it has no selector, and no EndpointSlice of it has an endpoint that is ready",
      `write an EndpointSlice with the label kubernetes.io/service-name: ${service.name}, or a selector into the Service`,
      slicesOf,
    );
  }
  const wanted = selector.map(([label, value]) => `${label}=${value}`).join(",");
  const alive = pods.filter(({ deleting, phase }) => !deleting && phase !== "Succeeded" && phase !== "Failed");
  const matching = alive.filter(({ labels }) => selector.every(([label, value]) => labels[label] === value));
  const look = `kubectl -n ${service.namespace} get pods --show-labels`;
  if (matching.length === 0) {
    const makers = facts.workloads.filter(
      ({ namespace, labels }) =>
        namespace === service.namespace && selector.every(([label, value]) => labels[label] === value),
    );
    const [first] = makers;
    const wants = makers.find(({ replicas }) => replicas > 0);
    if (wants !== undefined)
      return found(
        "error",
        `${titleOf(wants)}, whose pods have its labels, is to have ${wants.replicas} pods and has none`,
        "see its events, and those of its ReplicaSet",
        `kubectl -n ${service.namespace} describe ${wants.kind.toLowerCase()} ${wants.name}`,
        `kubectl -n ${service.namespace} get events --sort-by=.lastTimestamp`,
      );
    if (first !== undefined)
      return found(
        "note",
        `${titleOf(first)} is scaled to 0`,
        "nothing, if that is meant",
        `kubectl -n ${service.namespace} scale ${first.kind.toLowerCase()} ${first.name} --replicas=1`,
      );
    return found(
      "warning",
      `no pod of namespace ${service.namespace} has the labels ${wanted}${closest(selector, alive)}`,
      "make spec.selector or the labels of the pods right",
      look,
    );
  }
  const ready = matching.filter((pod) => pod.ready || service.publishNotReady);
  if (ready.length === 0) {
    const names = some(matching.map(({ name }) => name));
    if (matching.every(({ created }) => facts.isRecent(created, patience)))
      return found(
        "note",
        `the pods that its selector finds (${names}) are just being started`,
        "look again in a minute",
        `kubectl -n ${service.namespace} get pods`,
      );
    return found(
      "error",
      `of the ${matching.length} pods that its selector finds (${names}) none is ready`,
      "see why not: its events and its readiness probe",
      `kubectl -n ${service.namespace} describe pod ${matching[0]?.name}`,
    );
  }
  const misnamed = without.flatMap((port) => targetMissing(service, port, ready));
  if (misnamed.length > 0)
    return found(
      "error",
      some(misnamed),
      "name the container's port so, or set spec.ports[].targetPort to its number or name",
      `kubectl -n ${service.namespace} edit service ${service.name}`,
    );
  if (someEndpoints) return found("error", portsOfSlices(without, slices), "see what the EndpointSlices say", slicesOf);
  const controller =
    facts.cluster?.slices.length === 0
      ? "there are no EndpointSlices at all: the controller that writes them does not run"
      : "the controller that writes EndpointSlices has not yet, or does not run";
  return found(
    "error",
    `${ready.length} pods are ready, but no EndpointSlice lists them: ${controller}`,
    "see whether kube-controller-manager runs",
    "kubectl -n kube-system get pods",
  );
}

function titleOf({ kind, name }: Workload): string {
  return `${kind} ${name}`;
}

/** What is wrong with a target port that is a name. */
function targetMissing(service: CheckedService, port: ServicePort, pods: readonly CheckedPod[]): readonly string[] {
  const target = service.targetPorts[service.ports.indexOf(port)];
  if (typeof target !== "string") return [];
  const named = pods.flatMap(({ ports }) => ports.filter(({ name }) => name === target));
  if (named.some(({ protocol }) => protocol === port.protocol)) return [];
  const other = named[0]?.protocol;
  if (other !== undefined)
    return [`targetPort ${target} is a port of protocol ${other} in the pods, and of ${port.protocol} in the Service`];
  const names = [...new Set(pods.flatMap(({ ports }) => ports.map(({ name }) => name)))].filter((name) => name !== "");
  const has = names.length === 0 ? "their ports have no names" : `they have ${some(names)}`;
  return [`no pod has a port named ${target}, its targetPort (${has})`];
}

function portsOfSlices(without: readonly ServicePort[], slices: readonly EndpointSlice[]): string {
  const there = slices.flatMap(({ ports }) =>
    ports.map(({ name, protocol }) => `${name === "" ? "without a name" : name} (${protocol})`),
  );
  const wanted = without.map(({ name, protocol }) => `${name === "" ? "a port without a name" : name} (${protocol})`);
  return `its EndpointSlices have ${there.length === 0 ? "no ports" : `ports ${some(there)}`}, not ${some(wanted)}`;
}

/** Pods that have one of the labels with another value: often a slip of the pen. */
function closest(selector: readonly (readonly [string, string])[], pods: readonly CheckedPod[]): string {
  for (const [label, value] of selector) {
    const others = new Set(
      pods.map(({ labels }) => labels[label]).filter((other) => other !== undefined && other !== value),
    );
    if (others.size > 0 && !pods.some(({ labels }) => labels[label] === value)) {
      return `; of ${label} there is ${some([...others].map((other) => `${label}=${other}`))}`;
    }
  }
  return "";
}

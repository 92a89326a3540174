/** Pods. */
import { duplicate, invalid, notSupported, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, numberAt, objectAt, sameJson, textAt, without } from "../json.ts";
import { listBy, long, of, opaque, str, struct, time } from "../schema/schema.ts";
import { ageColumn, column, nameColumn } from "./columns.ts";
import { containerStatus } from "./container.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { isDnsLabel, notDnsLabel } from "./meta.ts";
import { podSpec, preparePodSpec } from "./podspec.ts";
import { podState, readyContainers, restarts } from "./podstate.ts";

const core = "io.k8s.api.core.v1";

const podCondition = struct(
  `${core}.PodCondition`,
  "One aspect of the state of a pod.",
  {
    type: str("What it is about: PodScheduled, Initialized, ContainersReady, Ready and others."),
    status: str("True, False or Unknown."),
    observedGeneration: long("The generation that this was found for."),
    lastProbeTime: time("When it was last looked at."),
    lastTransitionTime: time("When the status last changed."),
    reason: str("Why, in one word."),
    message: str("Why."),
  },
  { required: ["type", "status"] },
);

const podStatus = struct(`${core}.PodStatus`, "How a pod is. Written by its node.", {
  observedGeneration: long("The generation that this was found for."),
  phase: str("Pending, Running, Succeeded, Failed or Unknown."),
  conditions: listBy(["type"], podCondition, "Its aspects."),
  message: str("Why it is so."),
  reason: str("The same in one word."),
  nominatedNodeName: str("Node on which others make way for it."),
  hostIP: str("Address of its node."),
  hostIPs: listBy(
    ["ip"],
    struct(`${core}.HostIP`, "An address.", { ip: str("Address.") }, { required: ["ip"] }),
    "Addresses of its node.",
  ),
  podIP: str("Its address."),
  podIPs: listBy(
    ["ip"],
    struct(`${core}.PodIP`, "An address.", { ip: str("Address.") }, { required: ["ip"] }),
    "Its addresses, one of each family.",
  ),
  startTime: time("When its node took it up."),
  initContainerStatuses: opaque("How its init containers are."),
  containerStatuses: {
    schema: { type: "list", items: containerStatus, kind: "atomic", keys: [] },
    doc: "How its containers are.",
  },
  ephemeralContainerStatuses: opaque("How its ephemeral containers are."),
  qosClass: str("Its class of service."),
  resize: str("How a resize goes."),
  resourceClaimStatuses: opaque("How its claims are."),
  extendedResourceClaimStatus: opaque("How its extended resources are."),
  allocatedResources: opaque("What its node has set aside."),
  resources: opaque("What it has."),
});

const total = (pod: JsonObject) => listAt(pod, "spec", "containers").length;

/** What is wrong with the specification of a pod, also as a template. */
export function validatePodSpec(spec: JsonObject, field: string): readonly Problem[] {
  const problems: Problem[] = [];
  const containers = listAt(spec, "containers");
  if (containers.length === 0) problems.push(required(`${field}.containers`));
  const names = new Set<string>();
  for (const [list, items] of Object.entries({ containers, initContainers: listAt(spec, "initContainers") })) {
    for (const [i, container] of items.entries()) {
      const here = `${field}.${list}[${i}]`;
      const name = textAt(container, "name");
      if (name === "") problems.push(required(`${here}.name`));
      else if (!isDnsLabel(name)) problems.push(invalid(`${here}.name`, name, notDnsLabel));
      else if (names.has(name)) problems.push(duplicate(`${here}.name`, name));
      names.add(name);
      if (textAt(container, "image") === "" && listAt(container, "command").length === 0) {
        problems.push(required(`${here}.image`));
      }
      problems.push(...validatePorts(listAt(container, "ports").filter(isObject), `${here}.ports`));
    }
  }
  const policy = textAt(spec, "restartPolicy");
  const policies = ["Always", "OnFailure", "Never"];
  if (!policies.includes(policy)) problems.push(notSupported(`${field}.restartPolicy`, policy, policies));
  const dns = textAt(spec, "dnsPolicy");
  const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
  if (!dnsPolicies.includes(dns)) problems.push(notSupported(`${field}.dnsPolicy`, dns, dnsPolicies));
  if (numberAt(spec, ["terminationGracePeriodSeconds"]) < 0) {
    const given = numberAt(spec, ["terminationGracePeriodSeconds"]);
    problems.push(invalid(`${field}.terminationGracePeriodSeconds`, given, "must be greater than or equal to 0"));
  }
  return problems;
}

function validatePorts(ports: readonly JsonObject[], field: string): readonly Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const here = `${field}[${i}]`;
    const name = textAt(port, "name");
    const number = numberAt(port, ["containerPort"]);
    if (name !== "" && (!/^(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$/.test(name) || !/[a-z]/.test(name))) {
      const why =
        "must be no more than 15 characters of [a-z0-9-], with at least one letter, beginning and ending with one of [a-z0-9]";
      problems.push(invalid(`${here}.name`, name, why));
    } else if (name !== "" && names.has(name)) problems.push(duplicate(`${here}.name`, name));
    names.add(name);
    if (number === 0) problems.push(required(`${here}.containerPort`));
    else if (number < 1 || number > 65535) {
      problems.push(invalid(`${here}.containerPort`, number, "must be between 1 and 65535, inclusive"));
    }
    const host = port.hostPort;
    if (typeof host === "number" && (host < 0 || host > 65535)) {
      problems.push(invalid(`${here}.hostPort`, host, "must be between 1 and 65535, inclusive"));
    }
    const protocols = ["TCP", "UDP", "SCTP"];
    if (!protocols.includes(textAt(port, "protocol"))) {
      problems.push(notSupported(`${here}.protocol`, port.protocol ?? null, protocols));
    }
  }
  return problems;
}

/** Fields of a pod that may change: images, and what the system adds as time goes. */
function fixedPart(pod: JsonObject): JsonObject {
  const spec = without(
    objectAt(pod, "spec"),
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "tolerations",
    "schedulingGates",
    "ephemeralContainers",
    "nodeName",
  );
  const imageless = (list: string) =>
    listAt(spec, list).map((container) => without(isObject(container) ? container : {}, "image", "resources"));
  return { ...spec, containers: imageless("containers"), initContainers: imageless("initContainers") };
}

/** The kind Pod. */
export const pod = defineKind({
  kind: "Pod",
  plural: "pods",
  shortNames: ["po"],
  categories: ["all"],
  status: true,
  generation: true,
  selectable: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
  ],
  schema: objectSchema(`${core}.Pod`, "One or more containers that share a network namespace and live on one node.", {
    spec: of(podSpec, "What it runs."),
    status: of(podStatus, "How it is."),
  }),
  columns: [
    nameColumn,
    column("Ready", "Containers that are ready, of all.", (object) => {
      return `${readyContainers(object)}/${total(object)}`;
    }),
    column("Status", "What it is doing.", podState),
    column("Restarts", "How often its containers were restarted.", restarts),
    ageColumn,
    column("IP", "Its address.", (object) => textAt(object, "status", "podIP") || "<none>", { wide: true }),
    column("Node", "Its node.", (object) => textAt(object, "spec", "nodeName") || "<none>", { wide: true }),
    column(
      "Nominated Node",
      "Node on which others make way for it.",
      (object) => textAt(object, "status", "nominatedNodeName") || "<none>",
      {
        wide: true,
      },
    ),
    column("Readiness Gates", "Further conditions of readiness that hold.", readinessGates, { wide: true }),
  ],
  prepare: (object) => {
    const prepared = { ...object, spec: preparePodSpec(objectAt(object, "spec")) };
    return object.status === undefined
      ? { ...prepared, status: { phase: "Pending", qosClass: "BestEffort" } }
      : prepared;
  },
  validate: (object) => validatePodSpec(objectAt(object, "spec"), "spec"),
  validateUpdate: (object, previous) => {
    const problems: Problem[] = [];
    const before = textAt(previous, "spec", "nodeName");
    if (before !== "" && textAt(object, "spec", "nodeName") !== before) {
      problems.push(invalid("spec.nodeName", textAt(object, "spec", "nodeName"), "field is immutable"));
    }
    if (!sameJson(fixedPart(object), fixedPart(previous))) {
      const why =
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`";
      problems.push({ reason: "FieldValueForbidden", field: "spec", message: `Forbidden: ${why}` });
    }
    return problems;
  },
});

function readinessGates(object: JsonObject): string {
  const gates = listAt(object, "spec", "readinessGates").map((gate) => textAt(gate, "conditionType"));
  if (gates.length === 0) return "<none>";
  const holds = (gate: string) =>
    listAt(object, "status", "conditions").some(
      (item) => textAt(item, "type") === gate && textAt(item, "status") === "True",
    );
  return `${gates.filter(holds).length}/${gates.length}`;
}

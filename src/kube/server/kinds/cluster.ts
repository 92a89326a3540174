/** Namespaces, Nodes and Leases. */
import { tryParsePrefix } from "../../../net/prefix.ts";
import { invalid, type Problem } from "../errors.ts";
import { isObject, type JsonObject, listAt, objectAt, sameJson, textAt } from "../json.ts";
import {
  bool,
  int,
  list,
  listBy,
  microTime,
  of,
  oneOf,
  opaque,
  quantities,
  str,
  stringSet,
  strings,
  struct,
  time,
} from "../schema/schema.ts";
import { ageColumn, column, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { validateLabels } from "./meta.ts";

const core = "io.k8s.api.core.v1";

/** The kind Namespace. */
export const namespace = defineKind({
  kind: "Namespace",
  plural: "namespaces",
  shortNames: ["ns"],
  namespaced: false,
  status: true,
  selectable: ["status.phase"],
  schema: objectSchema(`${core}.Namespace`, "A room for names: objects in it go when it goes.", {
    spec: of(
      struct(`${core}.NamespaceSpec`, "What must be done before it can go.", {
        finalizers: strings("Each entry is removed by who does it."),
      }),
      "What must be done before it can go.",
    ),
    status: of(
      struct(`${core}.NamespaceStatus`, "How it is.", {
        phase: oneOf(["Active", "Terminating"], "Active or Terminating."),
        conditions: listBy(
          ["type"],
          struct(
            `${core}.NamespaceCondition`,
            "One aspect of its state.",
            {
              type: str("What it is about."),
              status: str("True, False or Unknown."),
              lastTransitionTime: time("When the status last changed."),
              reason: str("Why, in one word."),
              message: str("Why."),
            },
            { required: ["type", "status"] },
          ),
          "Its aspects.",
        ),
      }),
      "How it is.",
    ),
  }),
  columns: [
    nameColumn,
    column("Status", "Active or Terminating.", (object) => textAt(object, "status", "phase")),
    ageColumn,
  ],
  prepare: (object, previous) => {
    const metadata = objectAt(object, "metadata");
    const labels = { ...objectAt(metadata, "labels"), "kubernetes.io/metadata.name": metadata.name };
    const fresh = previous === undefined ? { spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } } : {};
    return { ...object, ...fresh, metadata: { ...metadata, labels } };
  },
});

const taint = struct(
  `${core}.Taint`,
  "Keeps pods off a node that do not bear it.",
  {
    key: str("Key."),
    value: str("Value."),
    effect: str("NoSchedule, PreferNoSchedule or NoExecute."),
    timeAdded: time("Since when."),
  },
  { required: ["key", "effect"] },
);

const nodeCondition = struct(
  `${core}.NodeCondition`,
  "One aspect of the state of a node.",
  {
    type: str("Ready and others."),
    status: str("True, False or Unknown."),
    lastHeartbeatTime: time("When it was last found so."),
    lastTransitionTime: time("When the status last changed."),
    reason: str("Why, in one word."),
    message: str("Why."),
  },
  { required: ["type", "status"] },
);

const texts = (names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, str(`${name} of the node.`)]));
const systemFields = [
  "architecture",
  "bootID",
  "containerRuntimeVersion",
  "kernelVersion",
  "kubeProxyVersion",
  "kubeletVersion",
  "machineID",
  "operatingSystem",
  "osImage",
  "systemUUID",
];

function nodeState(node: JsonObject): string {
  const ready = listAt(node, "status", "conditions").find((item) => textAt(item, "type") === "Ready");
  const status = textAt(ready, "status");
  const word = ready === undefined ? "Unknown" : status === "True" ? "Ready" : "NotReady";
  return objectAt(node, "spec").unschedulable === true ? `${word},SchedulingDisabled` : word;
}

function roles(node: JsonObject): string {
  const prefix = "node-role.kubernetes.io/";
  const names = Object.keys(objectAt(node, "metadata", "labels")).filter((key) => key.startsWith(prefix));
  return (
    names
      .map((key) => key.slice(prefix.length))
      .sort()
      .join(",") || "<none>"
  );
}

function nodeAddress(node: JsonObject, type: string): string {
  return (
    textAt(
      listAt(node, "status", "addresses").find((item) => textAt(item, "type") === type),
      "address",
    ) || "<none>"
  );
}

/** The kind Node. */
export const node = defineKind({
  kind: "Node",
  plural: "nodes",
  shortNames: ["no"],
  namespaced: false,
  status: true,
  selectable: ["spec.unschedulable"],
  schema: objectSchema(`${core}.Node`, "A machine that runs pods.", {
    spec: of(
      struct(`${core}.NodeSpec`, "What the cluster decided for the node.", {
        podCIDR: str("Prefix of the addresses of its pods."),
        podCIDRs: stringSet("Prefixes of the addresses of its pods, at most one of each family."),
        providerID: str("What its provider calls it."),
        unschedulable: bool("True if no further pods shall come."),
        taints: list(taint, "What keeps pods off it."),
        externalID: str("No longer used."),
        configSource: opaque("No longer used."),
      }),
      "What the cluster decided for it.",
      {},
    ),
    status: of(
      struct(`${core}.NodeStatus`, "How the node is.", {
        addresses: listBy(
          ["type"],
          struct(
            `${core}.NodeAddress`,
            "An address.",
            { type: str("InternalIP, ExternalIP, Hostname and others."), address: str("The address.") },
            { required: ["type", "address"] },
          ),
          "Its addresses.",
        ),
        allocatable: quantities("What pods can have of it."),
        capacity: quantities("What it has."),
        conditions: listBy(["type"], nodeCondition, "Its aspects."),
        config: opaque("No longer used."),
        daemonEndpoints: opaque("Ports of its agent."),
        features: opaque("What its runtime can do."),
        images: opaque("Images that it has."),
        nodeInfo: of(
          struct(`${core}.NodeSystemInfo`, "Its system.", { ...texts(systemFields), swap: opaque("Its swap.") }),
          "Its system.",
        ),
        phase: str("No longer used."),
        runtimeHandlers: opaque("Its runtimes."),
        volumesAttached: opaque("Volumes that are attached."),
        volumesInUse: opaque("Volumes that are in use."),
        declaredFeatures: strings("Features that it says it has."),
      }),
      "How it is.",
    ),
  }),
  columns: [
    nameColumn,
    column("Status", "Ready or not.", nodeState),
    column("Roles", "Its roles.", roles),
    ageColumn,
    column("Version", "Version of its agent.", (object) => textAt(object, "status", "nodeInfo", "kubeletVersion")),
    column("Internal-IP", "Its address in the cluster.", (object) => nodeAddress(object, "InternalIP"), { wide: true }),
    column("External-IP", "Its address outside.", (object) => nodeAddress(object, "ExternalIP"), { wide: true }),
    column(
      "OS-Image",
      "Its operating system.",
      (object) => textAt(object, "status", "nodeInfo", "osImage") || "<unknown>",
      { wide: true },
    ),
    column(
      "Kernel-Version",
      "Its kernel.",
      (object) => textAt(object, "status", "nodeInfo", "kernelVersion") || "<unknown>",
      { wide: true },
    ),
    column(
      "Container-Runtime",
      "What runs its pods.",
      (object) => textAt(object, "status", "nodeInfo", "containerRuntimeVersion") || "<unknown>",
      {
        wide: true,
      },
    ),
  ],
  validate: (object) => {
    const problems: Problem[] = [...validateLabels("metadata.labels", objectAt(object, "metadata", "labels"))];
    const cidrs = listAt(object, "spec", "podCIDRs");
    for (const [i, cidr] of cidrs.entries()) {
      if (tryParsePrefix(String(cidr)) === undefined) {
        const why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        problems.push(invalid(`spec.podCIDRs[${i}]`, cidr, why));
      }
    }
    for (const [i, item] of listAt(object, "spec", "taints").filter(isObject).entries()) {
      const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
      if (!effects.includes(textAt(item, "effect")))
        problems.push(invalid(`spec.taints[${i}].effect`, item.effect, `must be one of ${effects}`));
    }
    return problems;
  },
  validateUpdate: (object, previous) => {
    const before = listAt(previous, "spec", "podCIDRs");
    const now = listAt(object, "spec", "podCIDRs");
    if (before.length === 0 || sameJson(before, now)) return [];
    return [
      {
        reason: "FieldValueForbidden",
        field: "spec",
        message: 'Forbidden: node updates may not change podCIDR except from "" to valid',
      },
    ];
  },
});

/** The kind Lease: who holds an office, and until when. */
export const lease = defineKind({
  group: "coordination.k8s.io",
  kind: "Lease",
  plural: "leases",
  createOnUpdate: true,
  schema: objectSchema("io.k8s.api.coordination.v1.Lease", "Says who holds an office, and until when.", {
    spec: of(
      struct("io.k8s.api.coordination.v1.LeaseSpec", "The holder.", {
        holderIdentity: str("Who holds it."),
        leaseDurationSeconds: int("Seconds that it holds after it was renewed."),
        acquireTime: microTime("When it was taken."),
        renewTime: microTime("When it was last renewed."),
        leaseTransitions: int("How often the holder changed."),
        strategy: str("How the holder is chosen."),
        preferredHolder: str("Who should hold it."),
      }),
      "The holder.",
    ),
  }),
  columns: [
    nameColumn,
    column("Holder", "Who holds it.", (object) => textAt(object, "spec", "holderIdentity")),
    ageColumn,
  ],
});

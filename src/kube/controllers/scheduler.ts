/** The scheduler: gives each pod a node, so that pods of one kind are spread and nodes are equally full. */
import { type Api, internal } from "../server/api.ts";
import { type ApiObject, isObject, type JsonObject, listAt, numberAt, objectAt, textAt } from "../server/json.ts";
import { timestamp } from "../server/lifecycle.ts";
import { type Action, controllerOf, needKind, perform } from "./action.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { unsuitable } from "./placement.ts";
import { conditionOf, hasEnded, isTerminating, nodeOf } from "./pods.ts";

/** A node for a pod, or why there is none. */
export type Placement = { readonly node: string } | { readonly reasons: string };

/**
 * Chooses among the nodes that suit a pod: the one with the fewest pods of the same controller, then the fewest pods,
 * then the first by name.
 */
export function choosePlacement(pod: ApiObject, nodes: readonly ApiObject[], pods: readonly ApiObject[]): Placement {
  const owner = controllerOf(pod)?.uid;
  const counts = new Map(nodes.map((node) => [node.metadata.name, { siblings: 0, all: 0, ports: new Set<string>() }]));
  for (const other of pods) {
    const count = counts.get(nodeOf(other));
    if (count === undefined || hasEnded(other)) continue;
    count.all++;
    if (owner !== undefined && !isTerminating(other) && controllerOf(other)?.uid === owner) count.siblings++;
    for (const port of hostPorts(other)) count.ports.add(port);
  }
  const wanted = hostPorts(pod);
  const reasons = new Map<string, number>();
  const suitable = nodes.filter((node) => {
    const taken = counts.get(node.metadata.name)?.ports;
    const why =
      unsuitable(pod, node) ??
      (wanted.some((port) => taken?.has(port))
        ? "node(s) didn't have free ports for the requested pod ports"
        : undefined);
    if (why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
    return why === undefined;
  });
  const best = suitable
    .map((node) => ({ name: node.metadata.name, siblings: 0, all: 0, ...counts.get(node.metadata.name) }))
    .sort((a, b) => a.siblings - b.siblings || a.all - b.all || (a.name < b.name ? -1 : 1))[0];
  if (best !== undefined) return { node: best.name };
  const list = [...reasons].map(([why, count]) => `${count} ${why}`).sort();
  return { reasons: `0/${nodes.length} nodes are available${list.length > 0 ? `: ${list.join(", ")}` : ""}.` };
}

function hostPorts(pod: ApiObject): readonly string[] {
  return listAt(pod, "spec", "containers").flatMap((container) =>
    listAt(container, "ports")
      .filter(isObject)
      .filter((port) => numberAt(port, ["hostPort"]) > 0)
      .map((port) => `${numberAt(port, ["hostPort"])}/${textAt(port, "protocol")}`),
  );
}

/** Sets the condition PodScheduled of a pod. */
function withScheduled(pod: ApiObject, content: JsonObject, now: number): ApiObject {
  const before = conditionOf(pod, "PodScheduled");
  const lastTransitionTime = before?.status === content.status ? before?.lastTransitionTime : timestamp(now);
  const others = listAt(pod, "status", "conditions").filter((item) => textAt(item, "type") !== "PodScheduled");
  const conditions = [...others, { type: "PodScheduled", ...content, lastTransitionTime }];
  return { ...pod, status: { ...objectAt(pod, "status"), conditions } };
}

/** The controller that schedules. */
export function scheduler(api: Api): Controller {
  const component = "default-scheduler";
  const waits = (pod: ApiObject) =>
    nodeOf(pod) === "" &&
    !isTerminating(pod) &&
    textAt(pod, "spec", "schedulerName") === component &&
    listAt(pod, "spec", "schedulingGates").length === 0;
  return {
    name: component,
    watches: ["pods", "nodes"],
    keysOf(resource, { type, object }) {
      if (resource === "pods" && type !== "DELETED") return waits(object) ? [keyOfObject(object)] : [];
      // A node that changed, or a pod that left, may make room for those who wait.
      return api.list("pods").filter(waits).map(keyOfObject);
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const pod = api.store.get({ resource: "pods", namespace, name });
      if (pod === undefined || !waits(pod)) return undefined;
      const placement = choosePlacement(pod, api.list("nodes"), api.list("pods"));
      const kind = needKind(api, "pods");
      if ("node" in placement) {
        const bound = { ...pod, spec: { ...objectAt(pod, "spec"), nodeName: placement.node } };
        const written = api.update(kind, namespace, name, bound, "", internal);
        const message = `Successfully assigned ${namespace}/${name} to ${placement.node}`;
        const actions: readonly Action[] = [
          { type: "status", resource: "pods", object: withScheduled(written, { status: "True" }, api.now()) },
          { type: "event", about: pod, reason: "Scheduled", message },
        ];
        perform(api, actions, component);
        return undefined;
      }
      const message = placement.reasons;
      if (textAt(conditionOf(pod, "PodScheduled"), "message") === message) return undefined;
      const content = { status: "False", reason: "Unschedulable", message };
      perform(
        api,
        [
          { type: "status", resource: "pods", object: withScheduled(pod, content, api.now()) },
          { type: "event", about: pod, reason: "FailedScheduling", message, warning: true },
        ],
        component,
      );
      return undefined;
    },
  };
}

/** The scheduler: gives each pod a node, so that pods of one kind are spread and nodes are equally full. */
import { type Api, internal } from "../server/api.ts";
import { type ApiObject, type JsonObject, listAt, objectAt, textAt } from "../server/json.ts";
import { timestamp } from "../server/lifecycle.ts";
import { type Action, needKind, perform } from "./action.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { hostPorts, Occupancy, ownerOf } from "./occupancy.ts";
import { unsuitable } from "./placement.ts";
import { conditionOf, isTerminating, nodeOf } from "./pods.ts";

/** A node for a pod, or why there is none. */
export type Placement = { readonly node: string } | { readonly reasons: string };

/**
 * Chooses among the nodes that suit a pod: the one with the fewest pods of the same controller, then the fewest pods,
 * then the first by name.
 */
export function choosePlacement(pod: ApiObject, nodes: readonly ApiObject[], occupancy: Occupancy): Placement {
  const owner = ownerOf(pod);
  const wanted = hostPorts(pod);
  const reasons = new Map<string, number>();
  const suitable = nodes.filter((node) => {
    const why =
      unsuitable(pod, node) ??
      (wanted.some((port) => occupancy.hasPort(node.metadata.name, port))
        ? "node(s) didn't have free ports for the requested pod ports"
        : undefined);
    if (why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
    return why === undefined;
  });
  const best = suitable
    .map(({ metadata: { name } }) => ({ name, siblings: occupancy.siblings(name, owner), all: occupancy.pods(name) }))
    .sort((a, b) => a.siblings - b.siblings || a.all - b.all || (a.name < b.name ? -1 : 1))[0];
  if (best !== undefined) return { node: best.name };
  const list = [...reasons].map(([why, count]) => `${count} ${why}`).sort();
  return { reasons: `0/${nodes.length} nodes are available${list.length > 0 ? `: ${list.join(", ")}` : ""}.` };
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
  const occupancy = new Occupancy();
  const waiting = new Set<string>();
  return {
    name: component,
    watches: ["pods", "nodes"],
    keysOf(resource, change) {
      const { type, object } = change;
      if (resource === "pods") {
        occupancy.note(change);
        const key = keyOfObject(object);
        const isWaiting = type !== "DELETED" && waits(object);
        if (isWaiting) waiting.add(key);
        else waiting.delete(key);
        if (type !== "DELETED") return isWaiting ? [key] : [];
      }
      // A node that changed, or a pod that left, may make room for those who wait.
      return [...waiting];
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const pod = api.store.get({ resource: "pods", namespace, name });
      if (pod === undefined || !waits(pod)) return undefined;
      const placement = choosePlacement(pod, api.list("nodes"), occupancy);
      const kind = needKind(api, "pods");
      if ("node" in placement) {
        const bound = { ...pod, spec: { ...objectAt(pod, "spec"), nodeName: placement.node } };
        const written = api.update(kind, namespace, name, bound, "", internal);
        // The next pod is placed before this change comes by.
        occupancy.put(written);
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

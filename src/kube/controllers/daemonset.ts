/** DaemonSets: one pod on every node that suits, replaced node by node when the template changes. */
import type { Api } from "../server/api.ts";
import {
  type ApiObject,
  type Json,
  type JsonObject,
  listAt,
  numberAt,
  objectAt,
  sameJson,
  textAt,
} from "../server/json.ts";
import { amountOf } from "../server/kinds/workloads.ts";
import { type Action, controlledBy, controllerOf, perform } from "./action.ts";
import { claim } from "./claim.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { matchesNode, tolerates } from "./placement.ts";
import { availableIn, hasEnded, isReady, isTerminating, nodeOf, podOf, templateHash } from "./pods.ts";
import type { Decision } from "./replicaset.ts";

const hashLabel = "controller-revision-hash";

/** Taints that pods of DaemonSets bear without being told, because they belong to the node rather than to its users. */
const borne = ["not-ready", "unreachable"].map((name) => ({
  key: `node.kubernetes.io/${name}`,
  operator: "Exists",
  effect: "NoExecute",
}));
const pressures = ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"].map((name) => ({
  key: `node.kubernetes.io/${name}`,
  operator: "Exists",
  effect: "NoSchedule",
}));

/** What to do about a DaemonSet. `pods` are those that it controls; `revisions` its ControllerRevisions. */
export function decideDaemonSet(
  set: ApiObject,
  nodes: readonly ApiObject[],
  pods: readonly ApiObject[],
  revisions: readonly ApiObject[],
  now: number,
): Decision {
  const template = objectAt(set, "spec", "template");
  const spec = objectAt(template, "spec");
  const tolerations: readonly Json[] = [
    ...listAt(spec, "tolerations"),
    ...borne,
    ...pressures,
    ...(spec.hostNetwork === true ? [network] : []),
  ];
  const full = { ...spec, tolerations };
  const hash = templateHash(template);
  const deleting = set.metadata.deletionTimestamp !== undefined;
  const suits = (node: ApiObject) =>
    matchesNode(full, node) &&
    listAt(node, "spec", "taints").every(
      (taint) => textAt(taint, "effect") === "PreferNoSchedule" || tolerates(full, objectAt({ taint }, "taint")),
    );
  const wanted = nodes.filter(suits);
  const actions: Action[] = deleting ? [] : [...recordRevision(set, hash, template, revisions)];
  const minimum = numberAt(set, ["spec", "minReadySeconds"]);
  const serving = pods.filter((pod) => !isTerminating(pod) && !hasEnded(pod));
  const isNew = (pod: ApiObject) => textAt(pod, "metadata", "labels", hashLabel) === hash;
  const isAvailable = (pod: ApiObject) => availableIn(pod, minimum, now) === 0;
  const onNode = new Map<string, ApiObject[]>();
  for (const pod of serving) onNode.set(nodeOf(pod), [...(onNode.get(nodeOf(pod)) ?? []), pod]);
  const busy = new Set(pods.filter((pod) => isTerminating(pod)).map(nodeOf));
  const names = new Set(wanted.map((node) => node.metadata.name));
  const rolling = textAt(set, "spec", "updateStrategy", "type") !== "OnDelete";
  const settings = objectAt(set, "spec", "updateStrategy", "rollingUpdate");
  const surge = amountOf(settings.maxSurge, wanted.length, true) ?? 0;
  const limit = amountOf(settings.maxUnavailable, wanted.length, true) ?? 1;
  const missing = wanted.filter((node) => !(onNode.get(node.metadata.name) ?? []).some(isAvailable)).length;
  let spare = Math.max(surge === 0 ? 1 : 0, limit) - missing;
  let surging = wanted.filter((node) => (onNode.get(node.metadata.name)?.length ?? 0) > 1).length;
  const create = (name: string) => {
    const object = podOf(
      template,
      controlledBy(set),
      `${set.metadata.name}-`,
      { nodeName: name, tolerations },
      { [hashLabel]: hash },
    );
    actions.push({ type: "create", resource: "pods", namespace: set.metadata.namespace ?? "", object, of: set });
  };
  const remove = (object: ApiObject) => actions.push({ type: "delete", resource: "pods", object, of: set });
  for (const node of deleting ? [] : wanted) {
    const { name } = node.metadata;
    const here = onNode.get(name) ?? [];
    const fresh = here.filter(isNew);
    const stale = here.filter((pod) => !isNew(pod));
    for (const extra of fresh.slice(1)) remove(extra);
    if (here.length === 0) {
      if (!busy.has(name)) create(name);
    } else if (rolling && stale.length > 0) {
      if (fresh.some(isAvailable)) for (const pod of stale) remove(pod);
      else if (fresh.length === 0 && surge > 0 && surging < surge) {
        surging++;
        create(name);
      } else if (fresh.length === 0 && surge === 0) {
        const [pod] = stale;
        if (pod !== undefined && !isAvailable(pod)) remove(pod);
        else if (pod !== undefined && spare > 0) {
          spare--;
          remove(pod);
        }
      }
    }
  }
  if (!deleting) for (const pod of serving) if (!names.has(nodeOf(pod))) remove(pod);
  for (const pod of pods) if (hasEnded(pod) && !isTerminating(pod) && !deleting) remove(pod);
  const best = wanted.flatMap((node) =>
    (onNode.get(node.metadata.name) ?? []).toSorted((a, b) => Number(isNew(b)) - Number(isNew(a))).slice(0, 1),
  );
  const available = best.filter(isAvailable).length;
  const status: JsonObject = {
    ...objectAt(set, "status"),
    currentNumberScheduled: best.length,
    numberMisscheduled: serving.filter((pod) => !names.has(nodeOf(pod))).length,
    desiredNumberScheduled: wanted.length,
    numberReady: best.filter(isReady).length,
    updatedNumberScheduled: best.filter(isNew).length,
    numberAvailable: available,
    numberUnavailable: wanted.length - available,
    observedGeneration: numberAt(set, ["metadata", "generation"]),
  };
  const shown = Object.entries(status).filter(
    ([name, value]) => value !== 0 || optional.every((other) => other !== name),
  );
  actions.push({ type: "status", resource: "daemonsets.apps", object: { ...set, status: Object.fromEntries(shown) } });
  const waits = serving
    .map((pod) => availableIn(pod, minimum, now))
    .filter((wait): wait is number => wait !== undefined && wait > 0);
  return { actions, ...(waits.length > 0 ? { again: Math.min(...waits) + 10 } : {}) };
}

const network = { key: "node.kubernetes.io/network-unavailable", operator: "Exists", effect: "NoSchedule" };
const optional = ["updatedNumberScheduled", "numberAvailable", "numberUnavailable"];

/** Keeps the template as a revision to go back to; an old one that is current again gets the highest number. */
function recordRevision(
  set: ApiObject,
  hash: string,
  template: JsonObject,
  revisions: readonly ApiObject[],
): readonly Action[] {
  const resource = "controllerrevisions.apps";
  const data = { spec: { template: { ...template, $patch: "replace" } } };
  const current = revisions.find((revision) => sameJson(revision.data, data));
  const others = revisions.filter((revision) => revision !== current);
  const numberOf = (revision: ApiObject) => numberAt(revision, ["revision"]);
  const highest = Math.max(0, ...others.map(numberOf));
  const limit = numberAt(set, ["spec", "revisionHistoryLimit"], 10);
  const excess = others.sort((a, b) => numberOf(a) - numberOf(b)).slice(0, Math.max(0, others.length - limit));
  const actions: Action[] = excess.map((object) => ({ type: "delete", resource, object }));
  if (current !== undefined) {
    if (numberOf(current) > highest) return actions;
    return [...actions, { type: "update", resource, object: { ...current, revision: highest + 1 } }];
  }
  const labels = { ...objectAt(template, "metadata", "labels"), [hashLabel]: hash };
  const metadata = { name: `${set.metadata.name}-${hash}`, labels, ownerReferences: [controlledBy(set)] };
  return [
    ...actions,
    {
      type: "create",
      resource,
      namespace: set.metadata.namespace ?? "",
      object: { metadata, data, revision: highest + 1 },
    },
  ];
}

/** The controller of DaemonSets. */
export function daemonSetController(api: Api): Controller {
  const component = "daemonset-controller";
  const resource = "daemonsets.apps";
  return {
    name: component,
    watches: [resource, "pods", "nodes"],
    keysOf(kind, { type, object, previous }) {
      if (kind === resource) return [keyOfObject(object)];
      if (kind === "pods") {
        return [object, previous].flatMap((pod) => {
          const owner = pod === undefined ? undefined : controllerOf(pod);
          return owner?.kind === "DaemonSet" ? [`${object.metadata.namespace ?? ""}/${String(owner.name)}`] : [];
        });
      }
      // Heartbeats of nodes change nothing here.
      const about = (node: ApiObject) => [node.metadata.labels, objectAt(node, "spec")];
      const same =
        type === "MODIFIED" && previous !== undefined && sameJson(about(object) as Json, about(previous) as Json);
      return same ? [] : api.list(resource).map(keyOfObject);
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const set = api.store.get({ resource, namespace, name });
      if (set === undefined) return undefined;
      const pods = claim("pods", set, api.list("pods", namespace));
      const revisions = claim("controllerrevisions.apps", set, api.list("controllerrevisions.apps", namespace));
      const claims = [...pods.actions, ...revisions.actions];
      perform(api, claims, component);
      // Now that they are written, they are looked at again.
      if (claims.length > 0) return 0;
      const decision = decideDaemonSet(set, api.list("nodes"), pods.mine, revisions.mine, api.now());
      perform(api, decision.actions, component);
      return decision.again;
    },
  };
}

/** Which nodes a pod may run on. Pure. */
import { type ApiObject, isObject, type JsonObject, listAt, objectAt, textAt } from "../server/json.ts";
import { requirementsOf, selects } from "../server/select/labels.ts";
import { conditionOf } from "./pods.ts";

/** Why a pod cannot run on a node, in the words that events use; undefined if it can. */
export function unsuitable(pod: JsonObject, node: ApiObject): string | undefined {
  const spec = objectAt(pod, "spec");
  const ready = conditionOf(node, "Ready");
  if (ready !== undefined && textAt(ready, "status") !== "True") return "node(s) were not ready";
  const taints = listAt(node, "spec", "taints").filter(isObject);
  const cordon = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
  if (objectAt(node, "spec").unschedulable === true && !tolerates(spec, cordon)) return "node(s) were unschedulable";
  const taint = taints.find((item) => item.effect !== "PreferNoSchedule" && !tolerates(spec, item));
  if (taint !== undefined) return `node(s) had untolerated taint {${textAt(taint, "key")}: ${textAt(taint, "value")}}`;
  return matchesNode(spec, node) ? undefined : "node(s) didn't match Pod's node affinity/selector";
}

/** True if the node has what the pod's node selector and required node affinity ask for. */
export function matchesNode(spec: JsonObject, node: ApiObject): boolean {
  const labels = objectAt(node, "metadata", "labels");
  if (!selects(requirementsOf({ matchLabels: objectAt(spec, "nodeSelector") }), labels)) return false;
  const required = objectAt(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution");
  const terms = listAt(required, "nodeSelectorTerms").filter(isObject);
  if (terms.length === 0) return true;
  return terms.some((term) => {
    const fields = { "metadata.name": node.metadata.name };
    const expressions = requirementsOf({ matchExpressions: listAt(term, "matchExpressions") });
    return (
      selects(expressions, labels) && selects(requirementsOf({ matchExpressions: listAt(term, "matchFields") }), fields)
    );
  });
}

/** True if one of the pod's tolerations covers the taint. */
export function tolerates(spec: JsonObject, taint: JsonObject): boolean {
  return listAt(spec, "tolerations").some((item) => {
    const effect = textAt(item, "effect");
    const key = textAt(item, "key");
    if (effect !== "" && effect !== taint.effect) return false;
    if (key !== "" && key !== taint.key) return false;
    return textAt(item, "operator") === "Exists" || (key !== "" && textAt(item, "value") === textAt(taint, "value"));
  });
}

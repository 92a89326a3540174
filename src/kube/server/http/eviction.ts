/** Evictions: deletions of pods by those who can wait until the budgets of the pods allow it. */
import { type Api, internal } from "../api.ts";
import { ApiError, badRequest, evictionRefused } from "../errors.ts";
import { type ApiObject, listAt, numberAt, objectAt, textAt } from "../json.ts";
import { isBudgetOf, podDisruptionBudget, refusalOf } from "../kinds/disruption.ts";
import { resourceOf } from "../kinds/kind.ts";
import { evictionSchema } from "../kinds/requests.ts";
import { deleteOptionsOf } from "./params.ts";
import { created, type Done, type PartRequest } from "./part.ts";
import { objectOf } from "./read.ts";

/**
 * Answers `POST pods/NAME/eviction`.
 *
 * @throws {ApiError} 429 if a budget has no room, 500 if the pod has more than one, and as a deletion does.
 */
export function evict({ api, route, query, body }: PartRequest): Done {
  const eviction = objectOf(body, evictionSchema);
  const { kind, namespace, name } = route;
  const named = textAt(eviction, "metadata", "name");
  if (named !== "" && named !== name) throw badRequest("name in URL does not match name in Eviction object");
  const options = deleteOptionsOf(objectAt(eviction, "deleteOptions"), query);
  const pod = api.get(kind, namespace, name);
  const budget = isUncounted(pod) ? undefined : budgetOf(api, pod);
  if (budget !== undefined && !mayGoAnyway(pod, budget)) {
    const refusal = refusalOf(budget);
    if (refusal !== undefined) throw evictionRefused(refusal);
    if (!options.dryRun) take(api, budget);
  }
  api.delete(kind, namespace, name, options);
  return created;
}

function budgetOf(api: Api, pod: ApiObject): ApiObject | undefined {
  const [budget, second] = api
    .list(resourceOf(podDisruptionBudget), pod.metadata.namespace)
    .filter((each) => isBudgetOf(each, pod));
  if (second === undefined) return budget;
  const why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
  throw new ApiError(500, "InternalError", `Internal error occurred: ${why}`);
}

/** True for pods that no budget counts as healthy. */
function isUncounted(pod: ApiObject): boolean {
  const phase = textAt(pod, "status", "phase");
  return pod.metadata.deletionTimestamp !== undefined || ["Pending", "Succeeded", "Failed"].includes(phase);
}

/** True if the pod is not ready, so that nothing is lost with it, and its budget lets such pods go. */
function mayGoAnyway(pod: ApiObject, budget: ApiObject): boolean {
  const ready = listAt(pod, "status", "conditions").find((item) => textAt(item, "type") === "Ready");
  if (textAt(ready, "status") === "True") return false;
  if (textAt(budget, "spec", "unhealthyPodEvictionPolicy") === "AlwaysAllow") return true;
  const desired = numberAt(budget, ["status", "desiredHealthy"]);
  return desired > 0 && numberAt(budget, ["status", "currentHealthy"]) >= desired;
}

/** Takes one disruption from a budget: the next eviction may come before the controller has looked at this one. */
function take(api: Api, budget: ApiObject): void {
  const { namespace = "", name } = budget.metadata;
  const status = objectAt(budget, "status");
  const disruptionsAllowed = numberAt(status, ["disruptionsAllowed"]) - 1;
  const next = { ...budget, status: { ...status, disruptionsAllowed } };
  api.update(podDisruptionBudget, namespace, name, next, "status", internal);
}

/** PodDisruptionBudgets: how many pods of a set may be taken away at a time by those who can wait. */
import { invalid, notSupported, type Problem } from "../errors.ts";
import { type Json, type JsonObject, listAt, numberAt, objectAt, textAt } from "../json.ts";
import { int, intOrString, listBy, long, mapOf, of, oneOf, struct } from "../schema/schema.ts";
import { requirementsOf, selects } from "../select/labels.ts";
import { ageColumn, column, count, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { condition, labelSelector, validateSelector } from "./meta.ts";
import { amountOf } from "./workloads.ts";

const policy = "io.k8s.api.policy.v1";
const unhealthyPolicies = ["AlwaysAllow", "IfHealthyBudget"];

/** True if a budget is about a pod: an empty selector is about all pods of the namespace, none is about no pod. */
export function isBudgetOf(budget: JsonObject, pod: JsonObject): boolean {
  if (textAt(budget, "metadata", "namespace") !== textAt(pod, "metadata", "namespace")) return false;
  if (objectAt(budget, "spec").selector === undefined) return false;
  return selects(requirementsOf(objectAt(budget, "spec", "selector")), objectAt(pod, "metadata", "labels"));
}

function validateAmount(field: string, amount: Json): readonly Problem[] {
  const value = amountOf(amount, 100, true);
  if (value === undefined)
    return [invalid(field, amount, "must be a whole number or a percentage (e.g. '1' or '25%')")];
  if (value < 0) return [invalid(field, amount, "must be greater than or equal to 0")];
  return typeof amount === "string" && value > 100 ? [invalid(field, amount, "must not be greater than 100%")] : [];
}

/** The kind PodDisruptionBudget. */
export const podDisruptionBudget = defineKind({
  group: "policy",
  kind: "PodDisruptionBudget",
  plural: "poddisruptionbudgets",
  shortNames: ["pdb"],
  status: true,
  generation: true,
  schema: objectSchema(`${policy}.PodDisruptionBudget`, "How many pods may be evicted at a time.", {
    spec: of(
      struct(`${policy}.PodDisruptionBudgetSpec`, "What is wanted.", {
        minAvailable: intOrString("Pods that must stay healthy: a number, or a percentage. Excludes maxUnavailable."),
        selector: of(labelSelector, "The pods that it is about: {} for all of the namespace."),
        maxUnavailable: intOrString("Pods that may be missing: a number, or a percentage. Excludes minAvailable."),
        unhealthyPodEvictionPolicy: oneOf(
          unhealthyPolicies,
          "When pods that run and are not ready may be evicted: AlwaysAllow, or while the others are enough.",
        ),
      }),
      "What is wanted.",
    ),
    status: of(
      struct(
        `${policy}.PodDisruptionBudgetStatus`,
        "What there is.",
        {
          observedGeneration: long("The generation that this was found for."),
          disruptedPods: mapOf({ type: "time" }, "Pods whose end is not seen yet."),
          disruptionsAllowed: int("Pods that may be evicted now.", 0),
          currentHealthy: int("Pods that are healthy.", 0),
          desiredHealthy: int("Pods that must stay healthy.", 0),
          expectedPods: int("Pods that there should be.", 0),
          conditions: listBy(["type"], condition, "DisruptionAllowed."),
        },
        { required: ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"] },
      ),
      "What there is.",
    ),
  }),
  columns: [
    nameColumn,
    column("Min Available", "Pods that must stay healthy.", (object) => amountText(object, "minAvailable")),
    column("Max Unavailable", "Pods that may be missing.", (object) => amountText(object, "maxUnavailable")),
    count("Allowed Disruptions", "Pods that may be evicted now.", (object) =>
      numberAt(object, ["status", "disruptionsAllowed"]),
    ),
    ageColumn,
  ],
  validate: (object) => {
    const spec = objectAt(object, "spec");
    const { minAvailable, maxUnavailable } = spec;
    const problems: Problem[] = [...validateSelector("spec.selector", objectAt(spec, "selector"))];
    if (minAvailable !== undefined && maxUnavailable !== undefined)
      problems.push(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
    for (const [name, amount] of Object.entries({ minAvailable, maxUnavailable }))
      if (amount !== undefined) problems.push(...validateAmount(`spec.${name}`, amount));
    const unhealthy = textAt(spec, "unhealthyPodEvictionPolicy");
    if (unhealthy !== "" && !unhealthyPolicies.includes(unhealthy))
      problems.push(notSupported("spec.unhealthyPodEvictionPolicy", unhealthy, unhealthyPolicies));
    return problems;
  },
});

function amountText(object: JsonObject, member: string): string {
  const amount = objectAt(object, "spec")[member];
  return typeof amount === "number" || typeof amount === "string" ? String(amount) : "N/A";
}

/** Why a pod may not be evicted now, as the cause of the refusal says it; undefined if its budget has room. */
export function refusalOf(budget: JsonObject): string | undefined {
  const name = textAt(budget, "metadata", "name");
  const status = objectAt(budget, "status");
  if (numberAt(status, ["observedGeneration"]) < numberAt(budget, ["metadata", "generation"]))
    return `The disruption budget ${name} is still being processed by the server.`;
  if (numberAt(status, ["disruptionsAllowed"]) > 0) return undefined;
  const failed = listAt(status, "conditions").find((item) => textAt(item, "reason") === "SyncFailed");
  if (failed !== undefined)
    return `The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${textAt(failed, "message")}`;
  const { desiredHealthy, currentHealthy } = status;
  return `The disruption budget ${name} needs ${String(desiredHealthy)} healthy pods and has ${String(currentHealthy)} currently`;
}

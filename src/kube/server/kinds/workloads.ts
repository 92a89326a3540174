/** Deployments, ReplicaSets, DaemonSets and the revisions of the latter. */
import { invalid, notSupported, type Problem, required } from "../errors.ts";
import { type Json, type JsonObject, listAt, numberAt, objectAt, sameJson, textAt } from "../json.ts";
import { type Field, int, listBy, long, of, oneOf, opaque, str, struct, time } from "../schema/schema.ts";
import { requirementsOf, selects } from "../select/labels.ts";
import { ageColumn, column, count, labelText, nameColumn, workloadColumns } from "./columns.ts";
import { defineKind, objectSchema, type ScalePaths } from "./kind.ts";
import { labelSelector, rollingUpdate, validateLabels, validateSelector } from "./meta.ts";
import { validatePodSpec } from "./pod.ts";
import { podTemplate, prepareTemplate } from "./podspec.ts";

const apps = "io.k8s.api.apps.v1";
const group = "apps";

const workloadCondition = (name: string, extra: Readonly<Record<string, Field>> = {}) =>
  struct(
    `${apps}.${name}`,
    "One aspect of the state.",
    {
      type: str("What it is about."),
      status: str("True, False or Unknown."),
      ...extra,
      lastTransitionTime: time("When the status last changed."),
      reason: str("Why, in one word."),
      message: str("Why."),
    },
    { required: ["type", "status"] },
  );

const scale: ScalePaths = {
  specReplicas: ["spec", "replicas"],
  statusReplicas: ["status", "replicas"],
  selector: ["spec", "selector"],
};

/** The same template with the defaults that depend on other fields. */
function prepareWorkload(object: JsonObject): JsonObject {
  const spec = objectAt(object, "spec");
  return { ...object, spec: { ...spec, template: prepareTemplate(objectAt(spec, "template")) } };
}

function validateWorkload(object: JsonObject): readonly Problem[] {
  const spec = objectAt(object, "spec");
  const problems: Problem[] = [];
  const chosen = spec.selector;
  const template = objectAt(spec, "template");
  const templateLabels = objectAt(template, "metadata", "labels");
  if (chosen === undefined) problems.push(required("spec.selector"));
  else {
    problems.push(...validateSelector("spec.selector", objectAt(spec, "selector")));
    const requirements = requirementsOf(objectAt(spec, "selector"));
    if (requirements.length === 0)
      problems.push(invalid("spec.selector", chosen, "empty selector is invalid for deployment"));
    else if (!selects(requirements, templateLabels)) {
      problems.push(
        invalid("spec.template.metadata.labels", templateLabels, "`selector` does not match template `labels`"),
      );
    }
  }
  problems.push(...validateLabels("spec.template.labels", templateLabels));
  problems.push(...validatePodSpec(objectAt(template, "spec"), "spec.template.spec"));
  const restart = textAt(template, "spec", "restartPolicy");
  if (restart !== "Always") problems.push(notSupported("spec.template.spec.restartPolicy", restart, ["Always"]));
  for (const member of ["replicas", "minReadySeconds", "revisionHistoryLimit"]) {
    const value = numberAt(spec, [member]);
    if (value < 0) problems.push(invalid(`spec.${member}`, value, "must be greater than or equal to 0"));
  }
  return problems;
}

/** Reads `3` or `25%` of a total; `up` rounds percentages up. Undefined if it is neither. */
export function amountOf(value: Json | undefined, total: number, up: boolean): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || !/^[0-9]+%$/.test(value)) return undefined;
  const part = (Number.parseInt(value, 10) * total) / 100;
  return up ? Math.ceil(part) : Math.floor(part);
}

function validateRolling(field: string, rolling: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  const amounts = ["maxSurge", "maxUnavailable"].map((member) => {
    const amount = amountOf(rolling[member], 100, true);
    if (amount === undefined || amount < 0) {
      const why = "must be a whole number or a percentage (e.g. '1' or '25%')";
      problems.push(invalid(`${field}.${member}`, rolling[member] ?? null, why));
    }
    return amount ?? 0;
  });
  if (problems.length === 0 && amounts.every((amount) => amount === 0)) {
    problems.push(invalid(`${field}.maxUnavailable`, rolling.maxUnavailable ?? 0, "may not be 0 when `maxSurge` is 0"));
  }
  if (typeof rolling.maxUnavailable === "string" && (amounts[1] ?? 0) > 100) {
    problems.push(invalid(`${field}.maxUnavailable`, rolling.maxUnavailable, "must not be greater than 100%"));
  }
  return problems;
}

function fixedSelector(object: JsonObject, previous: JsonObject): readonly Problem[] {
  const chosen = objectAt(object, "spec", "selector");
  return sameJson(chosen, objectAt(previous, "spec", "selector"))
    ? []
    : [invalid("spec.selector", chosen, "field is immutable")];
}

/** The kind Deployment. */
export const deployment = defineKind({
  group,
  kind: "Deployment",
  plural: "deployments",
  shortNames: ["deploy"],
  categories: ["all"],
  status: true,
  generation: true,
  scale,
  schema: objectSchema(
    `${apps}.Deployment`,
    "Keeps a number of pods of one template running, and replaces them step by step.",
    {
      spec: of(
        struct(
          `${apps}.DeploymentSpec`,
          "What is wanted.",
          {
            replicas: int("How many pods there shall be.", 1),
            selector: of(labelSelector, "The pods that belong to it. Cannot change."),
            template: of(podTemplate, "The pods that are made."),
            strategy: of(
              struct(
                `${apps}.DeploymentStrategy`,
                "How pods of an old template are replaced.",
                {
                  type: oneOf(
                    ["Recreate", "RollingUpdate"],
                    "Recreate ends all first; RollingUpdate goes step by step.",
                    "RollingUpdate",
                  ),
                  rollingUpdate: of(rollingUpdate(`${apps}.RollingUpdateDeployment`), "How fast it goes."),
                },
                { retainKeys: true },
              ),
              "How pods of an old template are replaced.",
              {},
            ),
            minReadySeconds: int("Seconds that a pod must be ready before it counts as available."),
            revisionHistoryLimit: int("Old ReplicaSets that are kept to go back to.", 10),
            paused: { schema: { type: "boolean" }, doc: "True while changes of the template do nothing." },
            progressDeadlineSeconds: int("Seconds after which a rollout without progress counts as failed.", 600),
          },
          { required: ["selector", "template"] },
        ),
        "What is wanted.",
      ),
      status: of(
        struct(`${apps}.DeploymentStatus`, "What there is.", {
          observedGeneration: long("The generation that this was found for."),
          replicas: int("Pods in all."),
          updatedReplicas: int("Pods of the current template."),
          readyReplicas: int("Pods that are ready."),
          availableReplicas: int("Pods that have been ready for long enough."),
          unavailableReplicas: int("Pods that are missing."),
          terminatingReplicas: int("Pods that are ending."),
          conditions: listBy(
            ["type"],
            workloadCondition("DeploymentCondition", { lastUpdateTime: time("When this was last written.") }),
            "Available, Progressing and others.",
          ),
          collisionCount: int("How often a name of a ReplicaSet was taken."),
        }),
        "What there is.",
      ),
    },
  ),
  columns: [
    nameColumn,
    column("Ready", "Pods that are ready, of those wanted.", (object) => {
      return `${numberAt(object, ["status", "readyReplicas"])}/${numberAt(object, ["spec", "replicas"])}`;
    }),
    column("Up-to-date", "Pods of the current template.", (object) =>
      String(numberAt(object, ["status", "updatedReplicas"])),
    ),
    column("Available", "Pods that are available.", (object) =>
      String(numberAt(object, ["status", "availableReplicas"])),
    ),
    ageColumn,
    ...workloadColumns,
  ],
  prepare: (object) => {
    const strategy = objectAt(object, "spec", "strategy");
    const prepared = prepareWorkload(object);
    if (textAt(strategy, "type") !== "RollingUpdate") return prepared;
    const rolling = { maxSurge: "25%", maxUnavailable: "25%", ...objectAt(strategy, "rollingUpdate") };
    return { ...prepared, spec: { ...objectAt(prepared, "spec"), strategy: { ...strategy, rollingUpdate: rolling } } };
  },
  validate: (object) => {
    const problems = [...validateWorkload(object)];
    const strategy = objectAt(object, "spec", "strategy");
    const type = textAt(strategy, "type");
    if (type === "Recreate" && strategy.rollingUpdate !== undefined) {
      const message = "Forbidden: may not be specified when strategy `type` is 'Recreate'";
      problems.push({ reason: "FieldValueForbidden", field: "spec.strategy.rollingUpdate", message });
    } else if (type === "RollingUpdate") {
      problems.push(...validateRolling("spec.strategy.rollingUpdate", objectAt(strategy, "rollingUpdate")));
    } else if (type !== "Recreate")
      problems.push(notSupported("spec.strategy.type", type, ["Recreate", "RollingUpdate"]));
    return problems;
  },
  validateUpdate: fixedSelector,
});

/** The kind ReplicaSet. */
export const replicaSet = defineKind({
  group,
  kind: "ReplicaSet",
  plural: "replicasets",
  shortNames: ["rs"],
  categories: ["all"],
  status: true,
  generation: true,
  scale,
  selectable: ["status.replicas"],
  schema: objectSchema(`${apps}.ReplicaSet`, "Keeps a number of pods of one template running.", {
    spec: of(
      struct(
        `${apps}.ReplicaSetSpec`,
        "What is wanted.",
        {
          replicas: int("How many pods there shall be.", 1),
          minReadySeconds: int("Seconds that a pod must be ready before it counts as available."),
          selector: of(labelSelector, "The pods that belong to it. Cannot change."),
          template: of(podTemplate, "The pods that are made."),
        },
        { required: ["selector"] },
      ),
      "What is wanted.",
    ),
    status: of(
      struct(`${apps}.ReplicaSetStatus`, "What there is.", {
        replicas: int("Pods in all.", 0),
        fullyLabeledReplicas: int("Pods with all labels of the template."),
        readyReplicas: int("Pods that are ready."),
        availableReplicas: int("Pods that have been ready for long enough."),
        terminatingReplicas: int("Pods that are ending."),
        observedGeneration: long("The generation that this was found for."),
        conditions: listBy(["type"], workloadCondition("ReplicaSetCondition"), "Its aspects."),
      }),
      "What there is.",
    ),
  }),
  columns: [
    nameColumn,
    count("Desired", "Pods that are wanted.", (object) => numberAt(object, ["spec", "replicas"])),
    count("Current", "Pods that there are.", (object) => numberAt(object, ["status", "replicas"])),
    count("Ready", "Pods that are ready.", (object) => numberAt(object, ["status", "readyReplicas"])),
    ageColumn,
    ...workloadColumns,
  ],
  prepare: prepareWorkload,
  validate: validateWorkload,
  validateUpdate: fixedSelector,
});

/** The kind DaemonSet. */
export const daemonSet = defineKind({
  group,
  kind: "DaemonSet",
  plural: "daemonsets",
  shortNames: ["ds"],
  categories: ["all"],
  status: true,
  generation: true,
  schema: objectSchema(`${apps}.DaemonSet`, "Keeps one pod of a template running on every node, or on some.", {
    spec: of(
      struct(
        `${apps}.DaemonSetSpec`,
        "What is wanted.",
        {
          selector: of(labelSelector, "The pods that belong to it. Cannot change."),
          template: of(podTemplate, "The pods that are made."),
          updateStrategy: of(
            struct(`${apps}.DaemonSetUpdateStrategy`, "How pods of an old template are replaced.", {
              type: oneOf(
                ["OnDelete", "RollingUpdate"],
                "OnDelete waits until somebody deletes them.",
                "RollingUpdate",
              ),
              rollingUpdate: of(rollingUpdate(`${apps}.RollingUpdateDaemonSet`), "How fast it goes."),
            }),
            "How pods of an old template are replaced.",
            {},
          ),
          minReadySeconds: int("Seconds that a pod must be ready before it counts as available."),
          revisionHistoryLimit: int("Old revisions that are kept to go back to.", 10),
        },
        { required: ["selector", "template"] },
      ),
      "What is wanted.",
    ),
    status: of(
      struct(`${apps}.DaemonSetStatus`, "What there is.", {
        currentNumberScheduled: int("Nodes that run a pod and should.", 0),
        numberMisscheduled: int("Nodes that run a pod and should not.", 0),
        desiredNumberScheduled: int("Nodes that should run a pod.", 0),
        numberReady: int("Nodes whose pod is ready.", 0),
        updatedNumberScheduled: int("Nodes whose pod is of the current template."),
        numberAvailable: int("Nodes whose pod is available."),
        numberUnavailable: int("Nodes whose pod is missing."),
        observedGeneration: long("The generation that this was found for."),
        collisionCount: int("How often a name of a revision was taken."),
        conditions: listBy(["type"], workloadCondition("DaemonSetCondition"), "Its aspects."),
      }),
      "What there is.",
    ),
  }),
  columns: [
    nameColumn,
    count("Desired", "Nodes that should run a pod.", (object) =>
      numberAt(object, ["status", "desiredNumberScheduled"]),
    ),
    count("Current", "Nodes that run a pod.", (object) => numberAt(object, ["status", "currentNumberScheduled"])),
    count("Ready", "Nodes whose pod is ready.", (object) => numberAt(object, ["status", "numberReady"])),
    count("Up-to-date", "Nodes whose pod is of the current template.", (object) =>
      numberAt(object, ["status", "updatedNumberScheduled"]),
    ),
    count("Available", "Nodes whose pod is available.", (object) => numberAt(object, ["status", "numberAvailable"])),
    column("Node Selector", "Labels of the nodes.", (object) =>
      labelText(objectAt(object, "spec", "template", "spec", "nodeSelector")),
    ),
    ageColumn,
    ...workloadColumns,
  ],
  prepare: (object) => {
    const strategy = objectAt(object, "spec", "updateStrategy");
    const prepared = prepareWorkload(object);
    if (textAt(strategy, "type") !== "RollingUpdate") return prepared;
    const rolling = { maxSurge: 0, maxUnavailable: 1, ...objectAt(strategy, "rollingUpdate") };
    return {
      ...prepared,
      spec: { ...objectAt(prepared, "spec"), updateStrategy: { ...strategy, rollingUpdate: rolling } },
    };
  },
  validate: (object) => {
    const strategy = objectAt(object, "spec", "updateStrategy");
    const type = textAt(strategy, "type");
    const problems = [...validateWorkload(object)];
    if (type === "RollingUpdate") {
      problems.push(...validateRolling("spec.updateStrategy.rollingUpdate", objectAt(strategy, "rollingUpdate")));
    } else if (type !== "OnDelete")
      problems.push(notSupported("spec.updateStrategy.type", type, ["OnDelete", "RollingUpdate"]));
    return problems;
  },
  validateUpdate: fixedSelector,
});

/** The kind ControllerRevision: what a DaemonSet's template once was. */
export const controllerRevision = defineKind({
  group,
  kind: "ControllerRevision",
  plural: "controllerrevisions",
  schema: objectSchema(`${apps}.ControllerRevision`, "A state of a workload, kept to go back to.", {
    data: opaque("The state."),
    revision: long("Number of the revision."),
  }),
  columns: [
    nameColumn,
    column("Controller", "The workload.", (object) => {
      const owner = listAt(object, "metadata", "ownerReferences")[0];
      return owner === undefined ? "<none>" : `${textAt(owner, "kind").toLowerCase()}.apps/${textAt(owner, "name")}`;
    }),
    count("Revision", "Number of the revision.", (object) => numberAt(object, ["revision"])),
    ageColumn,
  ],
});

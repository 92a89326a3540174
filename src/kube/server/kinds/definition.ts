/** CustomResourceDefinitions: kinds that clients add. */

import { hasRules } from "../custom/jsonschema.ts";
import { type JsonObject, listAt, objectAt, sameJson, textAt } from "../json.ts";
import { bool, int, list, listBy, long, of, oneOf, opaque, str, strings, struct, time } from "../schema/schema.ts";
import { column, nameColumn } from "./columns.ts";
import { validateDefinition, validateDefinitionUpdate, versionsOf } from "./definitionrules.ts";
import { defineKind, objectSchema } from "./kind.ts";

const prefix = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

const names = struct(
  `${prefix}.CustomResourceDefinitionNames`,
  "What the kind is called.",
  {
    plural: str("Name of the resource in paths, such as crontabs."),
    singular: str("Name of one object, such as crontab; the kind in lower case where it is not given."),
    kind: str("The kind of the objects, such as CronTab."),
    listKind: str("The kind of their lists; the kind with List behind it where it is not given."),
    shortNames: strings("Short names for command lines."),
    categories: strings("Groups of resources that it belongs to, such as all."),
  },
  { required: ["plural", "kind"] },
);

const version = struct(
  `${prefix}.CustomResourceDefinitionVersion`,
  "One version of the kind.",
  {
    name: str("Name of the version, such as v1."),
    served: bool("True if clients may use it."),
    storage: bool("True for the one version in which objects are stored."),
    deprecated: bool("True to warn clients that use it."),
    deprecationWarning: str("What they are told."),
    schema: of(
      struct(`${prefix}.CustomResourceValidation`, "What objects look like.", {
        openAPIV3Schema: opaque(
          "A structural schema. Rules in CEL (x-kubernetes-validations) are kept and not evaluated.",
        ),
      }),
      "What objects look like.",
    ),
    subresources: of(
      struct(`${prefix}.CustomResourceSubresources`, "Parts of objects that are written by themselves.", {
        status: opaque("There, and empty, if the status is such a part."),
        scale: of(
          struct(
            `${prefix}.CustomResourceSubresourceScale`,
            "Where the numbers of the scale are.",
            {
              specReplicasPath: str("Path of the wanted number, below .spec."),
              statusReplicasPath: str("Path of the present number, below .status."),
              labelSelectorPath: str("Path of the selector as text."),
            },
            { required: ["specReplicasPath", "statusReplicasPath"] },
          ),
          "Where the numbers of the scale are.",
        ),
      }),
      "Parts of objects that are written by themselves.",
    ),
    additionalPrinterColumns: list(
      struct(
        `${prefix}.CustomResourceColumnDefinition`,
        "A column of kubectl get.",
        {
          name: str("Name of the column."),
          type: str("integer, number, string, boolean or date."),
          format: str("Format of the type."),
          description: str("What the column shows."),
          priority: int("0 to be shown always, more for -o wide."),
          jsonPath: str("Where its value is, such as .spec.replicas."),
        },
        { required: ["name", "type", "jsonPath"] },
      ),
      "Columns of kubectl get, besides the name.",
    ),
    selectableFields: list(
      struct(
        `${prefix}.SelectableField`,
        "A field that field selectors may name.",
        { jsonPath: str("Its path, such as .spec.host.") },
        { required: ["jsonPath"] },
      ),
      "Fields that field selectors may name.",
    ),
  },
  { required: ["name", "served", "storage"] },
);

const condition = struct(
  `${prefix}.CustomResourceDefinitionCondition`,
  "One aspect of the state of a definition.",
  {
    type: str("NamesAccepted, Established or Terminating."),
    status: oneOf(["True", "False", "Unknown"], "Whether it holds."),
    lastTransitionTime: time("When the status last changed."),
    observedGeneration: long("The generation that this was found for."),
    reason: str("Why, in one word."),
    message: str("Why, for people."),
  },
  { required: ["type", "status"] },
);

/** The finalizer that a definition has until its objects are gone. */
export const cleanup = "customresourcecleanup.apiextensions.k8s.io";

/** The names with those that follow from others. */
function fullNames(given: JsonObject): JsonObject {
  const kind = textAt(given, "kind");
  return {
    ...given,
    singular: textAt(given, "singular") || kind.toLowerCase(),
    listKind: textAt(given, "listKind") || `${kind}List`,
  };
}

/** The versions in which objects may be stored: whatever was once the stored one, until somebody takes it out. */
function prepare(object: JsonObject): JsonObject {
  const spec = objectAt(object, "spec");
  const status = objectAt(object, "status");
  const stored = versionsOf(object)
    .filter(({ storage }) => storage === true)
    .map(({ name }) => String(name));
  const storedVersions = [...new Set([...listAt(status, "storedVersions").map(String), ...stored])];
  return {
    ...object,
    spec: { ...spec, names: fullNames(objectAt(spec, "names")), conversion: spec.conversion ?? { strategy: "None" } },
    status: { conditions: [], acceptedNames: { plural: "", kind: "" }, ...status, storedVersions },
  };
}

/** The kind CustomResourceDefinition. */
export const customResourceDefinition = defineKind({
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  group: "apiextensions.k8s.io",
  namespaced: false,
  status: true,
  generation: true,
  cleanup,
  schema: objectSchema(`${prefix}.CustomResourceDefinition`, "Adds a kind of objects to the API.", {
    spec: of(
      struct(
        `${prefix}.CustomResourceDefinitionSpec`,
        "The kind.",
        {
          group: str("API group of the kind, such as example.com."),
          names: of(names, "What the kind is called."),
          scope: oneOf(["Cluster", "Namespaced"], "Whether its objects live in namespaces."),
          versions: list(version, "Its versions, of which one is stored."),
          conversion: of(
            struct(`${prefix}.CustomResourceConversion`, "How versions become one another.", {
              strategy: oneOf(["None"], "None: only the apiVersion differs."),
              webhook: opaque("Not supported."),
            }),
            "How versions become one another.",
          ),
          preserveUnknownFields: bool("Always false."),
        },
        { required: ["group", "names", "scope", "versions"] },
      ),
      "The kind.",
    ),
    status: of(
      struct(`${prefix}.CustomResourceDefinitionStatus`, "How the definition is.", {
        conditions: listBy(["type"], condition, "Its aspects."),
        acceptedNames: of(names, "The names by which the kind is served."),
        storedVersions: strings("Versions in which objects may be stored."),
      }),
      "How the definition is.",
    ),
  }),
  columns: [
    nameColumn,
    column("Created At", "When the definition was made.", (object) => textAt(object, "metadata", "creationTimestamp"), {
      type: "date",
    }),
  ],
  prepare,
  validate: validateDefinition,
  validateUpdate: validateDefinitionUpdate,
  warnings: (object, previous) =>
    hasRules(objectAt(object, "spec").versions ?? null) &&
    (previous === undefined || !sameJson(object.spec, previous.spec))
      ? ["x-kubernetes-validations are kept and not evaluated: this server has no CEL"]
      : [],
});

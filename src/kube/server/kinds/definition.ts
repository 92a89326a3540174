/** CustomResourceDefinitions: kinds that clients add. */

import { parsePath, plainNames } from "../custom/jsonpath.ts";
import { checkSchema, hasRules } from "../custom/jsonschema.ts";
import { duplicate, invalid, notSupported, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, objectAt, sameJson, textAt } from "../json.ts";
import { bool, int, list, listBy, long, of, oneOf, opaque, str, strings, struct, time } from "../schema/schema.ts";
import { column, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { isDnsLabel, isDnsName, notDnsName } from "./meta.ts";

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
const columnTypes = ["integer", "number", "string", "boolean", "date"];
const approval = "api-approved.kubernetes.io";
const dns1035 = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

function versionsOf(object: JsonObject): readonly JsonObject[] {
  return listAt(object, "spec", "versions").filter(isObject);
}

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

function validate(object: JsonObject): readonly Problem[] {
  const spec = objectAt(object, "spec");
  const given = objectAt(spec, "names");
  const group = textAt(spec, "group");
  const plural = textAt(given, "plural");
  const problems: Problem[] = [];
  if (textAt(object, "metadata", "name") !== `${plural}.${group}`)
    problems.push(
      invalid("metadata.name", textAt(object, "metadata", "name"), 'must be spec.names.plural+"."+spec.group'),
    );
  if (group === "") problems.push(required("spec.group"));
  else if (!isDnsName(group)) problems.push(invalid("spec.group", group, notDnsName));
  else if (!group.includes("."))
    problems.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  if (/(^|\.)(k8s|kubernetes)\.io$/.test(group) && textAt(object, "metadata", "annotations", approval) === "") {
    const why = `protected groups must have approval annotation ${JSON.stringify(approval)}, see https://github.com/kubernetes/enhancements/pull/1111`;
    problems.push(required(`metadata.annotations[${approval}]`, why));
  }
  const scope = textAt(spec, "scope");
  if (scope !== "Cluster" && scope !== "Namespaced")
    problems.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  if (spec.preserveUnknownFields === true)
    problems.push(
      invalid(
        "spec.preserveUnknownFields",
        true,
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
      ),
    );
  const strategy = textAt(spec, "conversion", "strategy");
  // Webhooks would be called by the server, which calls nobody.
  if (strategy !== "None") problems.push(notSupported("spec.conversion.strategy", strategy, ["None"]));
  problems.push(...validateNames(given), ...validateVersions(object));
  return problems;
}

function validateNames(given: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  const label = (field: string, text: string) => {
    if (text === "") problems.push(required(field));
    else if (!dns1035.test(text))
      problems.push(
        invalid(field, text, "must be a DNS-1035 label: lower case letters, digits and '-', beginning with a letter"),
      );
  };
  label("spec.names.plural", textAt(given, "plural"));
  label("spec.names.singular", textAt(given, "singular"));
  for (const member of ["kind", "listKind"]) {
    const text = textAt(given, member);
    if (text === "") problems.push(required(`spec.names.${member}`));
    else if (!dns1035.test(text.toLowerCase()))
      problems.push(
        invalid(
          `spec.names.${member}`,
          text,
          "may have mixed case, but should otherwise match: letters, digits and '-', beginning with a letter",
        ),
      );
  }
  if (textAt(given, "kind") === textAt(given, "listKind"))
    problems.push(invalid("spec.names.listKind", textAt(given, "listKind"), "kind and listKind may not be the same"));
  for (const member of ["shortNames", "categories"]) {
    for (const [i, text] of listAt(given, member).entries()) label(`spec.names.${member}[${i}]`, String(text));
  }
  return problems;
}

function validateVersions(object: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  const versions = versionsOf(object);
  const seen = new Set<string>();
  if (versions.length === 0) problems.push(required("spec.versions", "must have at least one version"));
  else if (versions.filter(({ storage }) => storage === true).length !== 1)
    problems.push(
      invalid(
        "spec.versions",
        versions.map((item) => item.name ?? ""),
        "must have exactly one version marked as storage version",
      ),
    );
  for (const [i, item] of versions.entries()) {
    const here = `spec.versions[${i}]`;
    const name = textAt(item, "name");
    if (!isDnsLabel(name) || !/^[a-z]/.test(name))
      problems.push(invalid(`${here}.name`, name, "must be a DNS-1035 label, such as v1 or v1beta1"));
    if (seen.has(name)) problems.push(duplicate(`${here}.name`, name));
    seen.add(name);
    problems.push(...checkSchema(`${here}.schema.openAPIV3Schema`, objectAt(item, "schema").openAPIV3Schema));
    problems.push(...validateColumns(here, item), ...validateScale(`${here}.subresources.scale`, item));
    for (const [k, field] of listAt(item, "selectableFields").entries()) {
      const path = textAt(field, "jsonPath");
      if (namesOf(path) === undefined)
        problems.push(
          invalid(`${here}.selectableFields[${k}].jsonPath`, path, "must be a simple path such as .spec.host"),
        );
    }
  }
  for (const [i, name] of listAt(object, "status", "storedVersions").entries()) {
    if (!seen.has(String(name)))
      problems.push(invalid(`status.storedVersions[${i}]`, name, "must appear in spec.versions"));
  }
  return problems;
}

function namesOf(path: string): readonly string[] | undefined {
  try {
    return plainNames(parsePath(path));
  } catch {
    return undefined;
  }
}

function validateColumns(here: string, item: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [i, described] of listAt(item, "additionalPrinterColumns").entries()) {
    const field = `${here}.additionalPrinterColumns[${i}]`;
    if (textAt(described, "name") === "") problems.push(required(`${field}.name`));
    const type = textAt(described, "type");
    if (!columnTypes.includes(type)) problems.push(notSupported(`${field}.type`, type, columnTypes));
    try {
      parsePath(textAt(described, "jsonPath"));
    } catch (error) {
      problems.push(
        invalid(
          `${field}.jsonPath`,
          textAt(described, "jsonPath"),
          error instanceof Error ? error.message : String(error),
        ),
      );
    }
  }
  return problems;
}

function validateScale(field: string, item: JsonObject): readonly Problem[] {
  if (!isObject(objectAt(item, "subresources").scale)) return [];
  const paths = objectAt(item, "subresources", "scale");
  const problems: Problem[] = [];
  const check = (member: string, roots: readonly string[]) => {
    const path = textAt(paths, member);
    const found = namesOf(path);
    if (path === "") problems.push(required(`${field}.${member}`));
    else if (found === undefined || found.length < 2 || !roots.includes(found[0] ?? ""))
      problems.push(
        invalid(
          `${field}.${member}`,
          path,
          `should be a simple path below ${roots.map((root) => `.${root}`).join(" or ")}`,
        ),
      );
  };
  check("specReplicasPath", ["spec"]);
  check("statusReplicasPath", ["status"]);
  if (textAt(paths, "labelSelectorPath") !== "") check("labelSelectorPath", ["spec", "status"]);
  return problems;
}

function validateUpdate(object: JsonObject, previous: JsonObject): readonly Problem[] {
  const established = listAt(previous, "status", "conditions").some(
    (item) => textAt(item, "type") === "Established" && textAt(item, "status") === "True",
  );
  if (!established) return [];
  const fixed = [
    ["spec", "scope"],
    ["spec", "names", "kind"],
  ].filter((path) => textAt(object, ...path) !== textAt(previous, ...path));
  return fixed.map((path) => invalid(path.join("."), textAt(object, ...path), "field is immutable"));
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
  validate,
  validateUpdate,
  warnings: (object, previous) =>
    hasRules(objectAt(object, "spec").versions ?? null) &&
    (previous === undefined || !sameJson(object.spec, previous.spec))
      ? ["x-kubernetes-validations are kept and not evaluated: this server has no CEL"]
      : [],
});

/** What definitions of custom resources must be like. Pure. */
import { parsePath, plainNames } from "../custom/jsonpath.ts";
import { checkSchema } from "../custom/jsonschema.ts";
import { duplicate, invalid, notSupported, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, objectAt, textAt } from "../json.ts";
import { isDnsLabel, isDnsName, notDnsName } from "./meta.ts";

const columnTypes = ["integer", "number", "string", "boolean", "date"];
const approval = "api-approved.kubernetes.io";
const dns1035 = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The versions of a definition. */
export function versionsOf(object: JsonObject): readonly JsonObject[] {
  return listAt(object, "spec", "versions").filter(isObject);
}

/** What is wrong with a definition. */
export function validateDefinition(object: JsonObject): readonly Problem[] {
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

/** What may not change once the kind is served. */
export function validateDefinitionUpdate(object: JsonObject, previous: JsonObject): readonly Problem[] {
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

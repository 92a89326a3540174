/**
 * Roles and their bindings. They are kept and shown, so that manifests that bring them can be applied; the server of one
 * machine has one kind of user, who may do everything.
 */
import { invalid, notSupported, type Problem, required } from "../errors.ts";
import { type JsonObject, listAt, sameJson, textAt } from "../json.ts";
import { list, of, opaque, str, strings, struct } from "../schema/schema.ts";
import { ageColumn, column, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";

const rbac = "io.k8s.api.rbac.v1";
const group = "rbac.authorization.k8s.io";

const rule = struct(
  `${rbac}.PolicyRule`,
  "What may be done to what.",
  {
    verbs: strings("What may be done; * for everything."),
    apiGroups: strings("API groups; * for all."),
    resources: strings("Resources; * for all."),
    resourceNames: strings("Names of objects; all where there are none."),
    nonResourceURLs: strings("Paths that are no objects."),
  },
  { required: ["verbs"] },
);

const subject = struct(
  `${rbac}.Subject`,
  "Who may do it.",
  {
    kind: str("User, Group or ServiceAccount."),
    apiGroup: str("API group of the kind."),
    name: str("Name."),
    namespace: str("Namespace of a ServiceAccount."),
  },
  { required: ["kind", "name"], atomic: true },
);

const roleRef = struct(
  `${rbac}.RoleRef`,
  "The role.",
  { apiGroup: str("API group."), kind: str("Role or ClusterRole."), name: str("Name.") },
  { required: ["apiGroup", "kind", "name"], atomic: true },
);

const created = column("Created At", "When it was made.", (object) => textAt(object, "metadata", "creationTimestamp"));
const roleColumn = column(
  "Role",
  "The role.",
  (object) => `${textAt(object, "roleRef", "kind")}/${textAt(object, "roleRef", "name")}`,
);

function validateRules(object: JsonObject): readonly Problem[] {
  return listAt(object, "rules").flatMap((item, i) =>
    listAt(item, "verbs").length === 0 ? [required(`rules[${i}].verbs`, "verbs must contain at least one value")] : [],
  );
}

function validateBinding(object: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  const kind = textAt(object, "roleRef", "kind");
  const kinds = textAt(object, "kind") === "ClusterRoleBinding" ? ["ClusterRole"] : ["Role", "ClusterRole"];
  if (!kinds.includes(kind)) problems.push(notSupported("roleRef.kind", kind, kinds));
  if (textAt(object, "roleRef", "name") === "") problems.push(required("roleRef.name"));
  for (const [i, item] of listAt(object, "subjects").entries()) {
    const subjects = ["ServiceAccount", "User", "Group"];
    if (!subjects.includes(textAt(item, "kind")))
      problems.push(notSupported(`subjects[${i}].kind`, textAt(item, "kind"), subjects));
    if (textAt(item, "kind") === "ServiceAccount" && textAt(item, "namespace") === "")
      problems.push(required(`subjects[${i}].namespace`));
  }
  return problems;
}

function fixedRole(object: JsonObject, previous: JsonObject): readonly Problem[] {
  return sameJson(object.roleRef, previous.roleRef)
    ? []
    : [invalid("roleRef", object.roleRef, "cannot change roleRef")];
}

function prepareBinding(object: JsonObject): JsonObject {
  const role = { apiGroup: group, ...(typeof object.roleRef === "object" ? object.roleRef : {}) };
  const subjects = listAt(object, "subjects").map((item) => {
    const own = typeof item === "object" && item !== null ? item : {};
    return textAt(item, "kind") === "ServiceAccount" ? item : { apiGroup: group, ...own };
  });
  return { ...object, roleRef: role, ...(object.subjects === undefined ? {} : { subjects }) };
}

const bindingFields = {
  subjects: list(subject, "Who has the role."),
  roleRef: of(roleRef, "The role. Cannot change."),
};

/** The kind Role. */
export const role = defineKind({
  group,
  kind: "Role",
  plural: "roles",
  schema: objectSchema(`${rbac}.Role`, "What may be done in a namespace.", { rules: list(rule, "What may be done.") }),
  columns: [nameColumn, created],
  validate: validateRules,
});

/** The kind ClusterRole. */
export const clusterRole = defineKind({
  group,
  kind: "ClusterRole",
  plural: "clusterroles",
  namespaced: false,
  schema: objectSchema(`${rbac}.ClusterRole`, "What may be done anywhere.", {
    rules: list(rule, "What may be done."),
    aggregationRule: opaque("Other roles whose rules it takes over."),
  }),
  columns: [nameColumn, created],
  validate: validateRules,
});

/** The kind RoleBinding. */
export const roleBinding = defineKind({
  group,
  kind: "RoleBinding",
  plural: "rolebindings",
  schema: objectSchema(`${rbac}.RoleBinding`, "Who has a role in a namespace.", bindingFields),
  columns: [nameColumn, roleColumn, ageColumn],
  prepare: prepareBinding,
  validate: validateBinding,
  validateUpdate: fixedRole,
});

/** The kind ClusterRoleBinding. */
export const clusterRoleBinding = defineKind({
  group,
  kind: "ClusterRoleBinding",
  plural: "clusterrolebindings",
  namespaced: false,
  schema: objectSchema(`${rbac}.ClusterRoleBinding`, "Who has a role everywhere.", bindingFields),
  columns: [nameColumn, roleColumn, ageColumn],
  prepare: prepareBinding,
  validate: validateBinding,
  validateUpdate: fixedRole,
});

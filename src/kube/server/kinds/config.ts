/** ConfigMaps, Secrets and ServiceAccounts: data for pods. */
import { invalid, notAllowed, type Problem, required, tooLong } from "../errors.ts";
import { type JsonObject, listAt, objectAt, sameJson, textAt } from "../json.ts";
import { bool, labels, listBy, str } from "../schema/schema.ts";
import { ageColumn, column, count, nameColumn } from "./columns.ts";
import { byteMap } from "./container.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { localReference, objectReference } from "./meta.ts";

const core = "io.k8s.api.core.v1";

/** Bytes that the values of a ConfigMap or Secret may have in all, as upstream. */
const sizeLimit = 1024 * 1024;
const badKey =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

function validateKeys(object: JsonObject, members: readonly string[]): readonly Problem[] {
  const problems: Problem[] = [];
  let total = 0;
  const seen = new Set<string>();
  for (const member of members) {
    for (const [key, value] of Object.entries(objectAt(object, member))) {
      if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === "." || key === "..")
        problems.push(invalid(`${member}[${key}]`, key, badKey));
      if (seen.has(key)) problems.push(invalid(`${member}[${key}]`, key, "duplicate of key present in data"));
      seen.add(key);
      total += String(value).length;
    }
  }
  if (total > sizeLimit) problems.push(tooLong(members[0] ?? "", sizeLimit));
  return problems;
}

function keepImmutable(object: JsonObject, previous: JsonObject, members: readonly string[]): readonly Problem[] {
  if (previous.immutable !== true) return [];
  const changed = members.filter((member) => !sameJson(objectAt(object, member), objectAt(previous, member)));
  const why = "field is immutable when `immutable` is set";
  return [
    ...(object.immutable === true ? [] : [notAllowed("immutable", why)]),
    ...changed.map((member) => notAllowed(member, why)),
  ];
}

function keyCount(object: JsonObject): number {
  return Object.keys(objectAt(object, "data")).length + Object.keys(objectAt(object, "binaryData")).length;
}

/** The kind ConfigMap. */
export const configMap = defineKind({
  kind: "ConfigMap",
  plural: "configmaps",
  shortNames: ["cm"],
  schema: objectSchema(`${core}.ConfigMap`, "Settings, by key.", {
    data: labels("Texts by key."),
    binaryData: byteMap("Bytes by key, in base64."),
    immutable: bool("True if the data can never change."),
  }),
  columns: [nameColumn, count("Data", "Number of keys.", keyCount), ageColumn],
  validate: (object) => validateKeys(object, ["data", "binaryData"]),
  validateUpdate: (object, previous) => keepImmutable(object, previous, ["data", "binaryData"]),
});

const tlsType = "kubernetes.io/tls";

/** The kind Secret. */
export const secret = defineKind({
  kind: "Secret",
  plural: "secrets",
  selectable: ["type"],
  schema: objectSchema(`${core}.Secret`, "Confidential data, by key.", {
    data: byteMap("Bytes by key, in base64."),
    stringData: labels("Texts by key, which become data. Never read back."),
    type: str("What the data is for, such as kubernetes.io/tls. Cannot change.", "Opaque"),
    immutable: bool("True if the data can never change."),
  }),
  columns: [
    nameColumn,
    column("Type", "What the data is for.", (object) => textAt(object, "type")),
    count("Data", "Number of keys.", keyCount),
    ageColumn,
  ],
  prepare: (object) => {
    const { stringData, ...rest } = object;
    if (stringData === undefined) return rest;
    const texts = Object.entries(objectAt(object, "stringData")).map(([key, value]) => [
      key,
      Buffer.from(String(value)).toString("base64"),
    ]);
    return { ...rest, data: { ...objectAt(object, "data"), ...Object.fromEntries(texts) } };
  },
  validate: (object) => {
    const problems = [...validateKeys(object, ["data"])];
    if (textAt(object, "type") === tlsType) {
      for (const key of ["tls.crt", "tls.key"]) {
        if (objectAt(object, "data")[key] === undefined) problems.push(required(`data[${key}]`));
      }
    }
    return problems;
  },
  validateUpdate: (object, previous) => {
    const fixed =
      textAt(object, "type") === textAt(previous, "type")
        ? []
        : [invalid("type", object.type ?? "", "field is immutable")];
    return [...fixed, ...keepImmutable(object, previous, ["data"])];
  },
});

/** The kind ServiceAccount. */
export const serviceAccount = defineKind({
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  shortNames: ["sa"],
  schema: objectSchema(`${core}.ServiceAccount`, "Who a pod is to the API.", {
    secrets: listBy(["name"], objectReference, "Secrets that its pods may use."),
    imagePullSecrets: listBy(["name"], localReference, "Secrets for fetching images."),
    automountServiceAccountToken: bool("Whether its pods get a token."),
  }),
  columns: [
    nameColumn,
    count("Secrets", "Number of secrets.", (object) => listAt(object, "secrets").length),
    ageColumn,
  ],
});

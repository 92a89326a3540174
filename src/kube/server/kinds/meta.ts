/** Metadata, and the small structures that many kinds share. */
import { duplicate, invalid, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, objectAt, textAt } from "../json.ts";
import {
  bool,
  intOrString,
  labels,
  list,
  listBy,
  long,
  oneOf,
  opaque,
  str,
  stringSet,
  strings,
  struct,
  time,
} from "../schema/schema.ts";
import { isLabelKey, isLabelValue } from "../select/labels.ts";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const core = "io.k8s.api.core.v1";

const ownerReference = struct(
  `${meta}.OwnerReference`,
  "An object that owns this one: when the last owner is gone, this one is collected.",
  {
    apiVersion: str("API version of the owner."),
    kind: str("Kind of the owner."),
    name: str("Name of the owner."),
    uid: str("UID of the owner."),
    controller: bool("True for the one owner that manages this object."),
    blockOwnerDeletion: bool("True if a foreground deletion of the owner waits for this object."),
  },
  { required: ["apiVersion", "kind", "name", "uid"], atomic: false },
);

const managedFieldsEntry = struct(`${meta}.ManagedFieldsEntry`, "The fields that one manager owns.", {
  apiVersion: str("API version in which the fields are named."),
  fieldsType: str("Always FieldsV1."),
  fieldsV1: opaque("The set of fields."),
  manager: str("Name of the manager."),
  operation: str("Apply or Update."),
  subresource: str("The subresource that was written, empty for the object itself."),
  time: time("When the set last changed."),
});

/** `ObjectMeta`. */
export const objectMeta = struct(`${meta}.ObjectMeta`, "What every object has besides its content.", {
  name: str("Name, unique among the objects of the kind in its namespace. Cannot change."),
  generateName: str("Prefix of a name that the server makes, where no name is given."),
  namespace: str("The namespace that the object lives in. Cannot change."),
  selfLink: str("No longer used."),
  uid: str("Identity of this object in space and time. Set by the server."),
  resourceVersion: str("Version of the object, for conflict detection and watches. Set by the server."),
  generation: long("Counts the changes of what is wanted. Set by the server."),
  creationTimestamp: time("When the object was made. Set by the server."),
  deletionTimestamp: time("When the object will be gone; set once it is being deleted."),
  deletionGracePeriodSeconds: long("Seconds that the object has to end in an orderly way."),
  labels: labels("Words to select objects by."),
  annotations: labels("Notes for programs and people, not to select by."),
  ownerReferences: listBy(["uid"], ownerReference, "Objects that own this one."),
  finalizers: stringSet("What must be done before the object can go. Each entry is removed by who does it."),
  managedFields: list(managedFieldsEntry, "Who owns which fields. Set by the server."),
});

const requirement = struct(
  `${meta}.LabelSelectorRequirement`,
  "A condition on a label.",
  {
    key: str("Key of the label."),
    operator: str("In, NotIn, Exists or DoesNotExist."),
    values: strings("Values for In and NotIn."),
  },
  { required: ["key", "operator"] },
);

/** `LabelSelector`. */
export const labelSelector = struct(
  `${meta}.LabelSelector`,
  "Selects objects by their labels. All conditions must hold; none selects everything.",
  {
    matchLabels: labels("Labels with the values that they must have."),
    matchExpressions: list(requirement, "Further conditions."),
  },
  { atomic: true },
);

/** `Condition` of `meta/v1`. */
export const condition = struct(
  `${meta}.Condition`,
  "One aspect of the state of an object.",
  {
    type: str("What the condition is about."),
    status: oneOf(["True", "False", "Unknown"], "Whether it holds."),
    observedGeneration: long("The generation that this was found for."),
    lastTransitionTime: time("When the status last changed."),
    reason: str("Why, in one word."),
    message: str("Why, for people."),
  },
  { required: ["type", "status", "lastTransitionTime", "reason", "message"] },
);

/** `ObjectReference` of the core API. */
export const objectReference = struct(
  `${core}.ObjectReference`,
  "Points at an object.",
  {
    apiVersion: str("API version of the object."),
    kind: str("Kind of the object."),
    name: str("Name of the object."),
    namespace: str("Namespace of the object."),
    uid: str("UID of the object."),
    resourceVersion: str("Version of the object."),
    fieldPath: str("The part of the object that is meant."),
  },
  { atomic: true },
);

/** `LocalObjectReference`: a name in the same namespace. */
export const localReference = struct(
  `${core}.LocalObjectReference`,
  "Points at an object of the same namespace.",
  { name: str("Name of the object.", "") },
  { atomic: true },
);

/** `RollingUpdate` of Deployments and DaemonSets. */
export const rollingUpdate = (name: string) =>
  struct(name, "How fast a rolling update goes.", {
    maxSurge: intOrString("Pods that may run beyond the wanted number, as a number or a percentage."),
    maxUnavailable: intOrString("Pods that may be missing from the wanted number, as a number or a percentage."),
  });

/** RFC 1123 label: what names of Services' ports and namespaces are. */
export function isDnsLabel(text: string): boolean {
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text);
}

/** RFC 1123 subdomain: what most names are. */
export function isDnsName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
}

/** The sentence that clients know for a name that is no RFC 1123 label. */
export const notDnsLabel =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/** The sentence that clients know for a name that is no RFC 1123 subdomain. */
export const notDnsName =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const notDns1035 =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/** Total bytes of annotations that one object may have, as upstream. */
const annotationLimit = 256 * 1024;

/** What is wrong with the metadata of an object. `nameForm` is what its kind wants of names. */
export function validateMeta(
  object: JsonObject,
  nameForm: "subdomain" | "label" | "dns1035" | "path",
): readonly Problem[] {
  const metadata = objectAt(object, "metadata");
  const name = textAt(metadata, "name");
  const problems: Problem[] = [];
  if (name === "") problems.push(required("metadata.name", "name or generateName is required"));
  else if (nameForm === "label" && !isDnsLabel(name)) problems.push(invalid("metadata.name", name, notDnsLabel));
  else if (nameForm === "dns1035" && (!isDnsLabel(name) || !/^[a-z]/.test(name)))
    problems.push(invalid("metadata.name", name, notDns1035));
  else if (nameForm === "subdomain" && !isDnsName(name)) problems.push(invalid("metadata.name", name, notDnsName));
  else if (nameForm === "path" && (name === "." || name === ".." || /[/%\0]/.test(name) || name.length > 253)) {
    problems.push(invalid("metadata.name", name, "may not be '.' or '..', nor contain '/' or '%'"));
  }
  problems.push(...validateLabels("metadata.labels", objectAt(metadata, "labels")));
  let total = 0;
  for (const [key, value] of Object.entries(objectAt(metadata, "annotations"))) {
    if (!isLabelKey(key)) problems.push(invalid("metadata.annotations", key, notLabelKey));
    total += key.length + String(value).length;
  }
  if (total > annotationLimit) {
    const message = `Too long: may not be more than ${annotationLimit} bytes`;
    problems.push({ reason: "FieldValueTooLong", field: "metadata.annotations", message });
  }
  for (const [i, finalizer] of listAt(metadata, "finalizers").entries()) {
    if (!isLabelKey(String(finalizer))) problems.push(invalid(`metadata.finalizers[${i}]`, finalizer, notLabelKey));
  }
  const owners = listAt(metadata, "ownerReferences").filter(isObject);
  if (owners.filter((owner) => owner.controller === true).length > 1) {
    problems.push(invalid("metadata.ownerReferences", owners, "Only one reference can have Controller set to true"));
  }
  const uids = new Set<string>();
  for (const [i, owner] of owners.entries()) {
    const field = `metadata.ownerReferences[${i}]`;
    for (const member of ["apiVersion", "kind", "name", "uid"]) {
      if (textAt(owner, member) === "") problems.push(required(`${field}.${member}`, `${member} must not be empty`));
    }
    if (uids.has(textAt(owner, "uid"))) problems.push(duplicate(`${field}.uid`, textAt(owner, "uid")));
    uids.add(textAt(owner, "uid"));
  }
  return problems;
}

const notLabelKey =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const notLabelValue =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** What is wrong with labels, or with a selector that is written like labels. */
export function validateLabels(field: string, values: JsonObject): readonly Problem[] {
  return Object.entries(values).flatMap(([key, value]) => [
    ...(isLabelKey(key) ? [] : [invalid(field, key, notLabelKey)]),
    ...(isLabelValue(String(value)) ? [] : [invalid(field, value ?? null, notLabelValue)]),
  ]);
}

/** What is wrong with a `LabelSelector`. */
export function validateSelector(field: string, selector: JsonObject): readonly Problem[] {
  const problems = [...validateLabels(`${field}.matchLabels`, objectAt(selector, "matchLabels"))];
  for (const [i, expression] of listAt(selector, "matchExpressions").entries()) {
    const here = `${field}.matchExpressions[${i}]`;
    const operator = textAt(expression, "operator");
    const count = listAt(expression, "values").length;
    if (!isLabelKey(textAt(expression, "key")))
      problems.push(invalid(`${here}.key`, textAt(expression, "key"), notLabelKey));
    if (operator === "In" || operator === "NotIn") {
      if (count === 0)
        problems.push(required(`${here}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (count > 0) {
        const message = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
        problems.push({ reason: "FieldValueForbidden", field: `${here}.values`, message });
      }
    } else problems.push(invalid(`${here}.operator`, operator, "not a valid selector operator"));
  }
  return problems;
}

/** Events, in their two forms: of the core API as they are stored, and of `events.k8s.io`. */
import { invalid, type Problem } from "../errors.ts";
import { type JsonObject, type MutableObject, numberAt, textAt, without } from "../json.ts";
import { int, microTime, of, str, struct, time } from "../schema/schema.ts";
import { age, column } from "./columns.ts";
import { type Column, defineKind, objectSchema } from "./kind.ts";
import { objectReference } from "./meta.ts";

const core = "io.k8s.api.core.v1";
const events = "io.k8s.api.events.v1";

const source = struct(`${core}.EventSource`, "Who tells it.", { component: str("Program."), host: str("Node.") });
const series = (name: string) =>
  struct(name, "Something that goes on.", {
    count: int("How often, so far."),
    lastObservedTime: microTime("When it last happened."),
  });

function lastSeen(event: JsonObject): string {
  return (
    textAt(event, "series", "lastObservedTime") ||
    textAt(event, "lastTimestamp") ||
    textAt(event, "eventTime") ||
    textAt(event, "firstTimestamp") ||
    textAt(event, "metadata", "creationTimestamp")
  );
}

const firstSeen = (event: JsonObject) =>
  textAt(event, "firstTimestamp") || textAt(event, "eventTime") || textAt(event, "metadata", "creationTimestamp");

const columns: readonly Column[] = [
  column("Last Seen", "When it last happened.", (object, now) => age(lastSeen(object), now)),
  column("Type", "Normal or Warning.", (object) => textAt(object, "type")),
  column("Reason", "What happened, in one word.", (object) => textAt(object, "reason")),
  column("Object", "What it happened to.", (object) => {
    const kind = textAt(object, "involvedObject", "kind").toLowerCase();
    return `${kind}/${textAt(object, "involvedObject", "name")}`;
  }),
  column("Subobject", "The part that it happened to.", (object) => textAt(object, "involvedObject", "fieldPath"), {
    wide: true,
  }),
  column(
    "Source",
    "Who tells it.",
    (object) => {
      const component = textAt(object, "source", "component") || textAt(object, "reportingComponent");
      return [component, textAt(object, "source", "host") || textAt(object, "reportingInstance")]
        .filter((part) => part !== "")
        .join(", ");
    },
    { wide: true },
  ),
  column("Message", "What happened.", (object) => textAt(object, "message").trim()),
  column("First Seen", "When it first happened.", (object, now) => age(firstSeen(object), now), { wide: true }),
  column(
    "Count",
    "How often.",
    (object) => String(numberAt(object, ["series", "count"]) || numberAt(object, ["count"], 1)),
    { wide: true },
  ),
  column("Name", "Name of the event.", (object) => textAt(object, "metadata", "name"), { wide: true, format: "name" }),
];

function validate(object: JsonObject): readonly Problem[] {
  const namespace = textAt(object, "involvedObject", "namespace");
  const own = textAt(object, "metadata", "namespace");
  if (namespace === own || (namespace === "" && own === "default")) return [];
  return [invalid("involvedObject.namespace", namespace, "does not match event.namespace")];
}

const selectable = [
  "involvedObject.kind",
  "involvedObject.namespace",
  "involvedObject.name",
  "involvedObject.uid",
  "involvedObject.apiVersion",
  "involvedObject.resourceVersion",
  "involvedObject.fieldPath",
  "reason",
  "reportingComponent",
  "source",
  "type",
];

/** The kind Event of the core API. */
export const event = defineKind({
  kind: "Event",
  plural: "events",
  shortNames: ["ev"],
  createOnUpdate: true,
  selectable,
  schema: objectSchema(`${core}.Event`, "Something that happened to an object.", {
    involvedObject: of(objectReference, "What it happened to."),
    related: of(objectReference, "Another object that has to do with it."),
    reason: str("What happened, in one word."),
    message: str("What happened."),
    type: str("Normal or Warning."),
    action: str("What was being done."),
    source: of(source, "Who tells it.", {}),
    reportingComponent: str("Who tells it.", ""),
    reportingInstance: str("Which of them.", ""),
    firstTimestamp: time("When it first happened."),
    lastTimestamp: time("When it last happened."),
    eventTime: microTime("When it happened."),
    count: int("How often."),
    series: of(series(`${core}.EventSeries`), "Something that goes on."),
  }),
  columns,
  validate,
});

/** What the members of the two forms are called: `events.k8s.io` first. */
const names: readonly (readonly [string, string])[] = [
  ["note", "message"],
  ["regarding", "involvedObject"],
  ["reportingController", "reportingComponent"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
];

function rename(object: JsonObject, pairs: readonly (readonly [string, string])[], apiVersion: string): JsonObject {
  const result: MutableObject = { ...object, apiVersion };
  for (const [from, to] of pairs) {
    if (object[from] !== undefined) result[to] = object[from];
    delete result[from];
  }
  return result;
}

/** The kind Event of `events.k8s.io`: the same objects, other names. */
export const newEvent = defineKind({
  group: "events.k8s.io",
  kind: "Event",
  plural: "events",
  shortNames: ["ev"],
  createOnUpdate: true,
  selectable,
  schema: objectSchema(`${events}.Event`, "Something that happened to an object.", {
    regarding: of(objectReference, "What it happened to."),
    related: of(objectReference, "Another object that has to do with it."),
    reason: str("What happened, in one word."),
    note: str("What happened."),
    type: str("Normal or Warning."),
    action: str("What was being done."),
    reportingController: str("Who tells it."),
    reportingInstance: str("Which of them."),
    eventTime: microTime("When it happened."),
    series: of(series(`${events}.EventSeries`), "Something that goes on."),
    deprecatedSource: of(source, "Who tells it."),
    deprecatedFirstTimestamp: time("When it first happened."),
    deprecatedLastTimestamp: time("When it last happened."),
    deprecatedCount: int("How often."),
  }),
  columns,
  validate,
  alias: {
    resource: "events",
    toStored: (object) => rename(object, names, "v1"),
    fromStored: (object) =>
      rename(
        without(object),
        names.map(([ours, theirs]) => [theirs, ours] as const),
        "events.k8s.io/v1",
      ),
  },
});

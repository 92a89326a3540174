/** The metadata that every API object carries (`meta/v1` ObjectMeta). */
import { type Fields, isFields, noFields, type Problems } from "./fields.ts";
import { intern } from "./intern.ts";

/** The identity of an object, read without judging the rest of it. */
export interface Identity {
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Opaque; empty where unknown. */
  readonly resourceVersion: string;
}

/** The identity of a raw object, or undefined if it has no name: then it is no API object at all. */
export function identityOf(raw: unknown): Identity | undefined {
  const metadata = isFields(raw) && isFields(raw.metadata) ? raw.metadata : noFields;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const name = text(metadata.name);
  if (name === "") return undefined;
  return {
    namespace: intern(text(metadata.namespace)),
    name,
    uid: text(metadata.uid),
    resourceVersion: text(metadata.resourceVersion),
  };
}

/** The value of a label or annotation; empty where there is none. */
export function labelOf(metadata: Fields, map: "labels" | "annotations", key: string, problems: Problems): string {
  const values = problems.fields(`metadata.${map}`, metadata[map]);
  const value = values[key];
  if (value === undefined || value === null || typeof value === "string") return value ?? "";
  problems.invalid(`metadata.${map}[${key}]`, value, "must be a string");
  return "";
}

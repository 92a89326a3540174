/** Objects as answers: single ones, lists and tables. Pure. */
import { type ApiObject, encode, type Json, type JsonObject } from "../json.ts";
import { apiVersionOf, type Kind } from "../kinds/kind.ts";
import type { Form } from "./accept.ts";

/** Which part of each object a table carries along (`includeObject`). */
export type Include = "Metadata" | "Object" | "None";

/** How objects are to be shown. `now` is in milliseconds since the epoch. */
export interface View {
  readonly kind: Kind;
  readonly form: Form;
  readonly include: Include;
  readonly now: number;
}

/** The metadata of a list. */
export interface ListMeta extends JsonObject {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** An object as JSON text. `columns` is false to leave out what the columns of a table are. */
export function renderObject(view: View, object: ApiObject, columns = true): string {
  if (view.form === "object") return encode(object);
  if (view.form === "metadata") return JSON.stringify(partial(object));
  return renderTable(view, [object], { resourceVersion: object.metadata.resourceVersion }, columns);
}

/** A list as JSON text. */
export function renderList(view: View, objects: readonly ApiObject[], metadata: ListMeta): string {
  if (view.form === "table") return renderTable(view, objects, metadata, true);
  if (view.form === "metadata") {
    const items = objects.map(partial);
    return JSON.stringify({ kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata, items });
  }
  const head = JSON.stringify({ kind: view.kind.listKind, apiVersion: apiVersionOf(view.kind), metadata });
  return `${head.slice(0, -1)},"items":[${objects.map(encode).join(",")}]}`;
}

/** The object of a bookmark: nothing but where the watch is. */
export function renderBookmark(view: View, version: number, initialEnd: boolean): string {
  const resourceVersion = String(version);
  const annotations = initialEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {};
  const metadata = { resourceVersion, creationTimestamp: null, ...annotations };
  if (view.form === "metadata")
    return JSON.stringify({ kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata });
  if (view.form === "object")
    return JSON.stringify({ kind: view.kind.kind, apiVersion: apiVersionOf(view.kind), metadata });
  const row = { cells: [], object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata } };
  return JSON.stringify({
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { resourceVersion },
    columnDefinitions: [],
    rows: [row],
  });
}

function renderTable(view: View, objects: readonly ApiObject[], metadata: ListMeta, columns: boolean): string {
  const definitions = view.kind.columns.map(({ name, type, format = "", description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
  const rows = objects.map((object): JsonObject => {
    const cells: readonly Json[] = view.kind.columns.map((column) =>
      column.value(storedForm(view.kind, object), view.now),
    );
    if (view.include === "None") return { cells };
    return { cells, object: view.include === "Object" ? object : partial(object) };
  });
  const columnDefinitions = columns ? definitions : [];
  return JSON.stringify({ kind: "Table", apiVersion: "meta.k8s.io/v1", metadata, columnDefinitions, rows });
}

/** Columns are written for the stored form of a kind. */
function storedForm(kind: Kind, object: ApiObject): JsonObject {
  return kind.alias === undefined ? object : kind.alias.toStored(object);
}

function partial(object: ApiObject): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

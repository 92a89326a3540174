/** A request on its way to its answer, and what all answers have in common. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Api, WriteOptions } from "../api.ts";
import { type ApiObject, objectAt } from "../json.ts";
import { type Kind, resourceOf } from "../kinds/kind.ts";
import { selectsFields } from "../select/fields.ts";
import { selects } from "../select/labels.ts";
import { chooseForm } from "./accept.ts";
import { type Selection, writeOptionsOf } from "./params.ts";
import { type ListMeta, renderObject, type View } from "./render.ts";
import type { Watches } from "./watch.ts";

/** A request with all that is needed to answer it. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly api: Api;
  readonly watches: Watches;
}

/** True if an object is selected. */
export function concerns(selection: Selection, object: ApiObject): boolean {
  return selects(selection.labels, objectAt(object, "metadata", "labels")) && selectsFields(selection.fields, object);
}

/** The resource that objects of a kind are stored as. */
export function resourceFor(kind: Kind): string {
  return kind.alias?.resource ?? resourceOf(kind);
}

/** The metadata of a list of the newest state. */
export function listMeta(api: Api): ListMeta {
  return { resourceVersion: String(api.store.version) };
}

/** How the client wants to see objects. */
export function viewOf(exchange: Exchange, kind: Kind): View {
  const given = exchange.query.get("includeObject") ?? "";
  const include = given === "Object" || given === "None" ? given : "Metadata";
  return { kind, form: chooseForm(exchange.request.headers.accept ?? ""), include, now: exchange.api.now() };
}

/** Sends an object in the form that the client wants. */
export function sendObject(exchange: Exchange, kind: Kind, object: ApiObject, code: number): void {
  sendJson(exchange.response, code, renderObject(viewOf(exchange, kind), object));
}

/** How the client wants a write to be done. Warnings become headers. */
export function writeOptions(exchange: Exchange): WriteOptions {
  const { query, request, response } = exchange;
  return writeOptionsOf(query, request.headers["user-agent"] ?? "", (message) => warn(response, message));
}

/** Adds a warning to an answer. */
export function warn(response: ServerResponse, message: string): void {
  const text = message
    .replaceAll(/[^\x20-\x7e]/g, "?")
    .slice(0, 1000)
    .replaceAll(/["\\]/g, "\\$&");
  response.appendHeader("warning", `299 - "${text}"`);
}

/** Sends JSON text. */
export function sendJson(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, {
    "content-type": "application/json",
    "cache-control": "no-cache, private",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

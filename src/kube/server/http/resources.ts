/** Requests for objects: what each method means on a list, an object or a part of one. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Api, type DeleteOptions, isCode, keyOf, outward, type Patch, type WriteOptions } from "../api.ts";
import { ApiError, badRequest, methodNotAllowed } from "../errors.ts";
import { type ApiObject, listAt, objectAt, textAt } from "../json.ts";
import { type Kind, resourceOf } from "../kinds/kind.ts";
import { deleteOptionsSchema } from "../kinds/requests.ts";
import { patchTypeOf } from "../patching.ts";
import { selectsFields } from "../select/fields.ts";
import { selects } from "../select/labels.ts";
import { chooseForm, parseMediaType } from "./accept.ts";
import {
  decodeContinue,
  dryRunOf,
  encodeContinue,
  flagOf,
  numberOf,
  type Selection,
  selectionOf,
  writeOptionsOf,
} from "./params.ts";
import { jsonOf, objectOf, readBody } from "./read.ts";
import { type ListMeta, renderList, renderObject, type View } from "./render.ts";
import type { ResourceRoute } from "./route.ts";
import { writePart } from "./subresources.ts";
import { tooOld, type Watches } from "./watch.ts";

/** A request with all that is needed to answer it. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly api: Api;
  readonly watches: Watches;
}

/** Answers a request for objects. */
export async function handleResource(exchange: Exchange, route: ResourceRoute): Promise<void> {
  const { request } = exchange;
  if (route.subresource !== "") return await handlePart(exchange, route);
  if (route.name === "") {
    if (request.method === "GET")
      return flagOf(exchange.query, "watch") === true ? watch(exchange, route) : list(exchange, route);
    if (request.method === "POST") return await create(exchange, route);
    if (request.method === "DELETE") return await deleteAll(exchange, route);
    throw methodNotAllowed();
  }
  const { kind, namespace, name } = route;
  switch (request.method) {
    case "GET":
      return sendObject(exchange, kind, exchange.api.get(kind, namespace, name), 200);
    case "PUT":
    case "PATCH":
      return await write(exchange, route, "");
    case "DELETE":
      return await deleteOne(exchange, route);
    default:
      throw methodNotAllowed();
  }
}

async function handlePart(exchange: Exchange, route: ResourceRoute): Promise<void> {
  const { kind, namespace, name, subresource } = route;
  const { request, api } = exchange;
  if (subresource === "status" && kind.status) {
    if (request.method === "GET") return sendObject(exchange, kind, api.get(kind, namespace, name), 200);
    return await write(exchange, route, "status");
  }
  if (subresource === "finalize" && kind.kind === "Namespace") return await write(exchange, route, "finalize");
  const body = await readBody(request);
  const answer = writePart({ api, route, method: request.method ?? "", body, options: writeOptions(exchange) });
  sendJson(exchange.response, answer.code, JSON.stringify(answer.body));
}

/** PUT or PATCH of an object or a part of it. */
async function write(exchange: Exchange, route: ResourceRoute, part: "" | "status" | "finalize"): Promise<void> {
  const { kind, namespace, name } = route;
  const { request, api, query } = exchange;
  const body = await readBody(request);
  const options = writeOptions(exchange);
  if (request.method === "PUT") {
    const missing = api.store.get(keyOf(kind, namespace, name)) === undefined;
    return sendObject(
      exchange,
      kind,
      api.update(kind, namespace, name, objectOf(body, kind.schema), part, options),
      missing ? 201 : 200,
    );
  }
  if (request.method !== "PATCH") throw methodNotAllowed();
  const type = patchTypeOf(parseMediaType(body.contentType).type);
  const force = flagOf(query, "force");
  if (force !== undefined && type !== "apply")
    throw badRequest("force: Forbidden: may not be specified for non-apply patch");
  if (type === "apply" && (query.get("fieldManager") ?? "") === "")
    throw badRequest("fieldManager: Required value: is required for apply patch");
  const patch: Patch = {
    type,
    body: type === "apply" ? objectOf(body, kind.schema) : jsonOf(body),
    force: force ?? false,
  };
  const missing = type === "apply" && api.store.get(keyOf(kind, namespace, name)) === undefined;
  sendObject(exchange, kind, api.patch(kind, namespace, name, patch, part, options), missing ? 201 : 200);
}

async function create(exchange: Exchange, route: ResourceRoute): Promise<void> {
  const { kind } = route;
  const { request, api } = exchange;
  const body = objectOf(await readBody(request), kind.schema);
  // Objects may be sent to the path of all namespaces if they name theirs.
  const namespace =
    route.namespace === "" && kind.namespaced ? textAt(body, "metadata", "namespace") || "default" : route.namespace;
  sendObject(exchange, kind, api.create(kind, namespace, body, writeOptions(exchange)), 201);
}

async function deleteOptions(exchange: Exchange): Promise<DeleteOptions> {
  const { request, query } = exchange;
  const sent = await readBody(request);
  const body = sent.bytes.length === 0 ? {} : objectOf(sent, deleteOptionsSchema);
  const grace =
    typeof body.gracePeriodSeconds === "number" ? body.gracePeriodSeconds : numberOf(query, "gracePeriodSeconds");
  const given = textAt(body, "propagationPolicy") || query.get("propagationPolicy") || undefined;
  const orphans = body.orphanDependents ?? flagOf(query, "orphanDependents");
  const propagation = given ?? (orphans === undefined ? undefined : orphans === true ? "Orphan" : "Background");
  if (
    propagation !== undefined &&
    propagation !== "Background" &&
    propagation !== "Foreground" &&
    propagation !== "Orphan"
  ) {
    throw badRequest(
      `propagationPolicy: Unsupported value: ${JSON.stringify(propagation)}: supported values: "Background", "Foreground", "Orphan"`,
    );
  }
  const preconditions = objectAt(body, "preconditions");
  const uid = textAt(preconditions, "uid");
  const resourceVersion = textAt(preconditions, "resourceVersion");
  return {
    dryRun: dryRunOf([...listAt(body, "dryRun").map(String), ...query.getAll("dryRun")]),
    ...(propagation === undefined ? {} : { propagation }),
    ...(grace === undefined ? {} : { graceSeconds: grace }),
    ...(uid === "" ? {} : { uid }),
    ...(resourceVersion === "" ? {} : { resourceVersion }),
  };
}

async function deleteOne(exchange: Exchange, route: ResourceRoute): Promise<void> {
  const { kind, namespace, name } = route;
  const { object, gone } = exchange.api.delete(kind, namespace, name, await deleteOptions(exchange));
  if (!gone) return sendObject(exchange, kind, object, 200);
  const group = kind.group === "" ? {} : { group: kind.group };
  const details = { name, ...group, kind: kind.plural, uid: object.metadata.uid };
  sendJson(
    exchange.response,
    200,
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details }),
  );
}

async function deleteAll(exchange: Exchange, route: ResourceRoute): Promise<void> {
  const { kind } = route;
  const { api, query } = exchange;
  const selection = selectionOf(kind, query);
  const options = await deleteOptions(exchange);
  const chosen = api.store.list(resourceFor(kind), route.namespace).filter((object) => concerns(selection, object));
  for (const object of chosen) {
    try {
      api.delete(kind, object.metadata.namespace ?? "", object.metadata.name, options);
    } catch (error) {
      if (!isCode(error, 404)) throw error;
    }
  }
  sendJson(
    exchange.response,
    200,
    renderList(
      viewOf(exchange, kind),
      chosen.map((object) => outward(kind, object)),
      listMeta(api),
    ),
  );
}

function list(exchange: Exchange, route: ResourceRoute): void {
  const { kind, namespace } = route;
  const { api, query } = exchange;
  const selection = selectionOf(kind, query);
  const limit = numberOf(query, "limit") ?? 0;
  const token = query.get("continue") ?? "";
  const from = token === "" ? undefined : decodeContinue(token);
  const { version } = api.store;
  if (from !== undefined && (from.version > version || from.version < api.store.log(resourceFor(kind)).start)) {
    throw new ApiError(
      410,
      "Expired",
      "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
    );
  }
  if (from === undefined) checkVersion(query, version);
  const all = api.store.list(resourceFor(kind), namespace, from?.after ?? "");
  const plain = selection.labels.length === 0 && selection.fields.length === 0;
  let items: readonly ApiObject[];
  let metadata: ListMeta = { resourceVersion: String(from?.version ?? version) };
  if (limit === 0) items = plain ? all : all.filter((object) => concerns(selection, object));
  else {
    const page: ApiObject[] = [];
    let next = 0;
    for (; next < all.length && page.length < limit; next++) {
      const object = all[next];
      if (object !== undefined && concerns(selection, object)) page.push(object);
    }
    items = page;
    const last = all[next - 1];
    if (next < all.length && last !== undefined) {
      const after = `${last.metadata.namespace ?? ""}/${last.metadata.name}`;
      const left = plain ? { remainingItemCount: all.length - next } : {};
      metadata = { ...metadata, continue: encodeContinue({ version: from?.version ?? version, after }), ...left };
    }
  }
  const shown = kind.alias === undefined ? items : items.map((object) => outward(kind, object));
  sendJson(exchange.response, 200, renderList(viewOf(exchange, kind), shown, metadata));
}

/** Lists are always of the newest state, which satisfies all wishes but those for one certain other version. */
function checkVersion(query: URLSearchParams, current: number): void {
  const wanted = numberOf(query, "resourceVersion") ?? 0;
  if (wanted > current) throw fromTheFuture(wanted, current);
  const match = query.get("resourceVersionMatch") ?? "";
  if (match === "Exact" && wanted !== current) throw tooOld(wanted, current);
  if (match !== "" && match !== "Exact" && match !== "NotOlderThan") {
    throw badRequest(
      `resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan"`,
    );
  }
}

function fromTheFuture(wanted: number, current: number): ApiError {
  const message = "Too large resource version";
  const details = { causes: [{ reason: "ResourceVersionTooLarge", message }], retryAfterSeconds: 1 };
  return new ApiError(504, "Timeout", `Timeout: ${message}: ${wanted}, current: ${current}`, details);
}

function watch(exchange: Exchange, route: ResourceRoute): void {
  const { kind, namespace } = route;
  const { api, query, request, response, watches } = exchange;
  const selection = selectionOf(kind, query);
  const resource = resourceFor(kind);
  const current = api.store.version;
  const given = numberOf(query, "resourceVersion") ?? 0;
  const sendInitial = flagOf(query, "sendInitialEvents");
  const bookmarks = flagOf(query, "allowWatchBookmarks") ?? false;
  if (sendInitial === true && query.get("resourceVersionMatch") !== "NotOlderThan") {
    throw badRequest(
      "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
  }
  if (given > current) throw fromTheFuture(given, current);
  const { start } = api.store.log(resource);
  const fromNow = sendInitial ?? given === 0;
  if (!fromNow && given !== 0 && given < start) throw tooOld(given, start);
  const initial = fromNow ? api.store.list(resource, namespace).filter((object) => concerns(selection, object)) : [];
  const view = viewOf(exchange, kind);
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
  response.flushHeaders();
  const watcher = watches.start(
    {
      ...selection,
      resource,
      namespace,
      view,
      after: fromNow || given === 0 ? current : given,
      initial,
      initialEnd: sendInitial === true && bookmarks,
      bookmarks,
    },
    {
      write: (text) => response.write(text),
      end: () => response.end(),
      destroy: () => response.destroy(),
    },
  );
  const seconds = numberOf(query, "timeoutSeconds") || 1800 + Math.floor(Math.random() * 1800);
  const timer = setTimeout(() => watcher.finish(), Math.min(seconds, 86_400) * 1000).unref();
  response.on("drain", () => watcher.drained());
  response.on("close", () => {
    clearTimeout(timer);
    watcher.stop();
  });
  request.resume();
}

function concerns(selection: Selection, object: ApiObject): boolean {
  return selects(selection.labels, objectAt(object, "metadata", "labels")) && selectsFields(selection.fields, object);
}

function resourceFor(kind: Kind): string {
  return kind.alias?.resource ?? resourceOf(kind);
}

function listMeta(api: Api): ListMeta {
  return { resourceVersion: String(api.store.version) };
}

function viewOf(exchange: Exchange, kind: Kind): View {
  const given = exchange.query.get("includeObject") ?? "";
  const include = given === "Object" || given === "None" ? given : "Metadata";
  return { kind, form: chooseForm(exchange.request.headers.accept ?? ""), include, now: exchange.api.now() };
}

function sendObject(exchange: Exchange, kind: Kind, object: ApiObject, code: number): void {
  sendJson(exchange.response, code, renderObject(viewOf(exchange, kind), object));
}

function writeOptions(exchange: Exchange): WriteOptions {
  return writeOptionsOf(exchange.query, exchange.request.headers["user-agent"] ?? "", (message) => {
    const text = message
      .replaceAll(/[^\x20-\x7e]/g, "?")
      .replaceAll(/["\\]/g, "\\$&")
      .slice(0, 1000);
    exchange.response.appendHeader("warning", `299 - "${text}"`);
  });
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

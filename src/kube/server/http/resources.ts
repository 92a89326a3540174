/** Requests for objects: what each method means on a list, an object or a part of one. */
import { type DeleteOptions, isCode, keyOf, type Patch } from "../api.ts";
import { badRequest, methodNotAllowed } from "../errors.ts";
import { textAt } from "../json.ts";
import { outward } from "../kinds/kind.ts";
import { deleteOptionsSchema } from "../kinds/requests.ts";
import { scaleKind } from "../kinds/scale.ts";
import { patchTypeOf } from "../patching.ts";
import { parseMediaType } from "./accept.ts";
import {
  concerns,
  type Exchange,
  listMeta,
  resourceFor,
  sendJson,
  sendObject,
  viewOf,
  warn,
  writeOptions,
} from "./exchange.ts";
import { deleteOptionsOf, flagOf, selectionOf } from "./params.ts";
import { jsonOf, objectOf, readBody } from "./read.ts";
import { list, watch } from "./reading.ts";
import { renderList } from "./render.ts";
import type { ResourceRoute } from "./route.ts";
import { writePart } from "./subresources.ts";

/** Answers a request for objects. */
export async function handleResource(exchange: Exchange, route: ResourceRoute): Promise<void> {
  const { request, response } = exchange;
  const { deprecation } = route.kind.custom ?? {};
  if (deprecation !== undefined) warn(response, deprecation);
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
  const { method = "" } = request;
  const answer = writePart({ api, route, method, query: exchange.query, body, options: writeOptions(exchange) });
  if ("object" in answer) sendObject(exchange, scaleKind, answer.object, answer.code);
  else sendJson(exchange.response, answer.code, JSON.stringify(answer.status));
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

async function deleteOptions({ request, query }: Exchange): Promise<DeleteOptions> {
  const sent = await readBody(request);
  return deleteOptionsOf(sent.bytes.length === 0 ? {} : objectOf(sent, deleteOptionsSchema), query);
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

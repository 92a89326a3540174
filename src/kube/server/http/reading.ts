/** Lists and watches. */
import { ApiError, badRequest } from "../errors.ts";
import type { ApiObject } from "../json.ts";
import { outward } from "../kinds/kind.ts";
import { concerns, type Exchange, resourceFor, sendJson, viewOf } from "./exchange.ts";
import { decodeContinue, encodeContinue, flagOf, numberOf, selectionOf } from "./params.ts";
import { type ListMeta, renderList } from "./render.ts";
import type { ResourceRoute } from "./route.ts";
import { tooOld } from "./watch.ts";

/** Answers with a list, or a page of one: all pages are of the version of the first. */
export function list(exchange: Exchange, route: ResourceRoute): void {
  const { kind, namespace } = route;
  const { api, query } = exchange;
  const selection = selectionOf(kind, query);
  const limit = numberOf(query, "limit") ?? 0;
  const token = query.get("continue") ?? "";
  const from = token === "" ? undefined : decodeContinue(token);
  const { version } = api.store;
  const at = from?.version ?? versionOf(query, version);
  const all = at > version ? undefined : api.store.listAt(at, resourceFor(kind), namespace, from?.after ?? "");
  if (all === undefined) throw from === undefined ? tooOld(at, api.store.log(resourceFor(kind)).start) : tooOldToGoOn();
  const plain = selection.labels.length === 0 && selection.fields.length === 0;
  let items: readonly ApiObject[];
  let metadata: ListMeta = { resourceVersion: String(at) };
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
      metadata = { ...metadata, continue: encodeContinue({ version: at, after }), ...left };
    }
  }
  const shown = items.map((object) => outward(kind, object));
  sendJson(exchange.response, 200, renderList(viewOf(exchange, kind), shown, metadata));
}

function tooOldToGoOn(): ApiError {
  return new ApiError(
    410,
    "Expired",
    "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
  );
}

/** The version of which a list is to be: the newest, which satisfies all wishes but those for one certain other version. */
function versionOf(query: URLSearchParams, current: number): number {
  const wanted = numberOf(query, "resourceVersion") ?? 0;
  if (wanted > current) throw fromTheFuture(wanted, current);
  const match = query.get("resourceVersionMatch") ?? "";
  if (match !== "" && match !== "Exact" && match !== "NotOlderThan") {
    throw badRequest(
      `resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan"`,
    );
  }
  return match === "Exact" ? wanted : current;
}

function fromTheFuture(wanted: number, current: number): ApiError {
  const message = "Too large resource version";
  const details = { causes: [{ reason: "ResourceVersionTooLarge", message }], retryAfterSeconds: 1 };
  return new ApiError(504, "Timeout", `Timeout: ${message}: ${wanted}, current: ${current}`, details);
}

/** Starts a watch. */
export function watch(exchange: Exchange, route: ResourceRoute): void {
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

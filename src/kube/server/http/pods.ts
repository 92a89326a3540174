/** `kubectl logs`: requests that are handed on to the nodes. */
import type { ServerResponse } from "node:http";
import type { Api } from "../api.ts";
import { badRequest } from "../errors.ts";
import { type ApiObject, listAt, textAt } from "../json.ts";
import { pod as podKind } from "../kinds/pod.ts";
import { flagOf, numberOf } from "./params.ts";
import type { PodAccess } from "./podaccess.ts";
import type { ResourceRoute } from "./route.ts";

/** The pod of a route and the container that the client means. */
export function findContainer(
  api: Api,
  route: ResourceRoute,
  query: URLSearchParams,
): { readonly pod: ApiObject; readonly container: string } {
  const pod = api.get(podKind, route.namespace, route.name);
  const names = namesOf(pod, "containers");
  const asked = query.get("container") ?? "";
  const [first = ""] = names;
  if (asked === "" && names.length > 1) {
    throw badRequest(`a container name must be specified for pod ${route.name}, choose one of: [${names.join(" ")}]`);
  }
  if (asked !== "" && ![...names, ...namesOf(pod, "initContainers")].includes(asked))
    throw badRequest(`container ${asked} is not valid for pod ${route.name}`);
  return { pod, container: asked || first };
}

function namesOf(pod: ApiObject, list: string): readonly string[] {
  return listAt(pod, "spec", list).map((item) => textAt(item, "name"));
}

/** Answers `GET .../pods/<name>/log` with plain text. */
export async function sendLog(
  access: PodAccess,
  api: Api,
  route: ResourceRoute,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const { pod, container } = findContainer(api, route, query);
  if (textAt(pod, "spec", "nodeName") === "") throw badRequest(`pod ${route.name} does not have a host assigned`);
  const lines = numberOf(query, "tailLines");
  let room = numberOf(query, "limitBytes") ?? Number.POSITIVE_INFINITY;
  const stop = new AbortController();
  response.on("close", () => stop.abort());
  const request = {
    pod,
    container,
    follow: flagOf(query, "follow") ?? false,
    previous: flagOf(query, "previous") ?? false,
    timestamps: flagOf(query, "timestamps") ?? false,
    since: sinceOf(query),
  };
  let first = true;
  try {
    for await (const text of access.logs(request, stop.signal)) {
      if (first)
        response.writeHead(200, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-cache, private" });
      const shown = firstBytes(first && lines !== undefined ? lastLines(text, lines) : text, room);
      room -= Buffer.byteLength(shown);
      if (first) response.flushHeaders();
      first = false;
      if (shown !== "" && !response.write(shown)) await drained(response, stop.signal);
      if (stop.signal.aborted) return;
      if (room <= 0) break;
    }
  } catch (error) {
    if (!first || stop.signal.aborted) throw error;
    throw badRequest(
      `container ${container} in pod ${route.name} has no log: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (first) response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  response.end();
}

/** From when on a client wants a log, in milliseconds since the epoch; 0 for all of it. */
function sinceOf(query: URLSearchParams): number {
  const seconds = numberOf(query, "sinceSeconds");
  const time = query.get("sinceTime") ?? "";
  if (seconds !== undefined && time !== "")
    throw badRequest("at most one of `sinceTime` or `sinceSeconds` may be specified");
  if (seconds !== undefined) return Date.now() - 1000 * seconds;
  const since = time === "" ? 0 : Date.parse(time);
  if (Number.isNaN(since))
    throw badRequest(`sinceTime: Invalid value: ${JSON.stringify(time)}: must be a time (RFC 3339)`);
  return since;
}

/** The last lines of a text. */
export function lastLines(text: string, count: number): string {
  let at = text.endsWith("\n") ? text.length - 1 : text.length;
  for (let i = 0; i < count && at >= 0; i++) at = at === 0 ? -1 : text.lastIndexOf("\n", at - 1);
  return count === 0 ? "" : text.slice(at + 1);
}

/** The beginning of a text, `count` bytes at most. */
function firstBytes(text: string, count: number): string {
  return Buffer.byteLength(text) <= count ? text : Buffer.from(text).toString("utf8", 0, count);
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Every request passes here: who asks, for what, and how errors are told. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Api } from "../api.ts";
import { ApiError, methodNotAllowed, unknownPath } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { accessReviewSchema, rulesReviewSchema, selfReviewSchema } from "../kinds/requests.ts";
import type { KindSet } from "../kinds/set.ts";
import { aggregated, aggregatedVersion, apiGroup, apiGroups, apiResources, apiVersions, version } from "./discovery.ts";
import { documentsOf, openApiPaths } from "./documents.ts";
import { sendJson } from "./exchange.ts";
import type { PodAccess } from "./podaccess.ts";
import { sendLog } from "./pods.ts";
import { objectOf, readBody } from "./read.ts";
import { startCommand } from "./remote/command.ts";
import { startPortForward } from "./remote/portforward.ts";
import { handleResource } from "./resources.ts";
import { parseRoute, type Route } from "./route.ts";
import type { Watches } from "./watch.ts";

/** Someone who may use the API: everything, for a cluster of one machine has one kind of user. */
export interface User {
  readonly name: string;
  readonly token: string;
}

/** What requests are answered from. */
export interface Services {
  readonly api: Api;
  readonly watches: Watches;
  /** The way to the pods; undefined where logs and commands are not to be had. */
  readonly pods: PodAccess | undefined;
  readonly users: readonly User[];
  /** `host:port` of the server, for clients. */
  readonly address: () => string;
  /** Told of errors that are the server's own. */
  readonly report: (error: unknown) => void;
}

const reviewSchemas = {
  SelfSubjectAccessReview: accessReviewSchema,
  SelfSubjectReview: selfReviewSchema,
  SelfSubjectRulesReview: rulesReviewSchema,
} as const;

/** What a server calls: for requests, and for those that want to make something else of their connection. */
export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Answers requests. */
export function createHandlers(services: Services): Handlers {
  const known = services.users.map(({ name, token }) => ({ name, digest: digestOf(token) }));
  return {
    request(request, response) {
      void answer(request, response).catch((error: unknown) => sendError(request, response, error, services.report));
    },
    upgrade(request, socket, head) {
      socket.on("error", () => socket.destroy());
      upgrade(request, socket, head).catch((error: unknown) => {
        const status = statusOf(error, services.report);
        const text = JSON.stringify(status.toStatus());
        socket.end(
          `HTTP/1.1 ${status.code} ${status.reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
        );
      });
    },
  };

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (authenticate(request) === undefined) throw new ApiError(401, "Unauthorized", "Unauthorized");
    const { route, query } = target(request, services.api.kinds);
    const { api, pods } = services;
    if (route.type !== "resource" || route.kind.kind !== "Pod" || pods === undefined) throw unknownPath();
    if (route.subresource === "exec" || route.subresource === "attach")
      await startCommand(pods, api, route, query, request, socket, head);
    else if (route.subresource === "portforward") startPortForward(pods, api, route, request, socket, head);
    else throw unknownPath();
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const user = authenticate(request);
    if (user === undefined) throw new ApiError(401, "Unauthorized", "Unauthorized");
    const { route, query } = target(request, services.api.kinds);
    if (route.type === "resource") {
      const { api, watches, pods } = services;
      const isLog = route.kind.kind === "Pod" && route.subresource === "log" && request.method === "GET";
      if (isLog && pods !== undefined) return await sendLog(pods, api, route, query, response);
      return await handleResource({ request, response, query, api, watches }, route);
    }
    if (route.type === "review") return await review(request, response, route.review, user);
    if (request.method !== "GET" && request.method !== "HEAD")
      throw route.type === "unknown" ? unknownPath() : methodNotAllowed();
    sendDocument(request, response, route);
  }

  function authenticate(request: IncomingMessage): string | undefined {
    const match = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? "");
    if (match === null) return undefined;
    const digest = digestOf(match[1] ?? "");
    return known.find((user) => timingSafeEqual(user.digest, digest))?.name;
  }

  function sendDocument(
    request: IncomingMessage,
    response: ServerResponse,
    route: Exclude<Route, { type: "resource" | "review" }>,
  ): void {
    const accept = request.headers.accept ?? "";
    const { kinds } = services.api;
    const json = (value: JsonObject) => sendJson(response, 200, JSON.stringify(value));
    switch (route.type) {
      case "health":
        response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end("ok");
        return;
      case "version":
        json(version);
        return;
      case "api":
      case "apis": {
        const form = aggregatedVersion(accept);
        if (form === undefined) {
          json(route.type === "api" ? apiVersions(services.address()) : apiGroups(kinds));
          return;
        }
        const text = JSON.stringify(aggregated(kinds, route.type === "api", form));
        const type = `application/json;g=apidiscovery.k8s.io;v=${form};as=APIGroupDiscoveryList`;
        response
          .writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(text), vary: "Accept" })
          .end(text);
        return;
      }
      case "group":
        json(apiGroup(kinds, route.group));
        return;
      case "resources":
        json(apiResources(kinds, route.group, route.version));
        return;
      case "openapi2":
        sendOpenApi2(response, accept, kinds);
        return;
      case "openapi3":
        json({ paths: openApiPaths(kinds) });
        return;
      case "openapi3-group": {
        const text = documentsOf(kinds).groups.get(`${route.group}/${route.version}`);
        if (text === undefined) throw unknownPath();
        sendJson(response, 200, text);
        return;
      }
      default:
        throw unknownPath();
    }
  }

  async function review(
    request: IncomingMessage,
    response: ServerResponse,
    kind: keyof typeof reviewSchemas,
    user: string,
  ): Promise<void> {
    if (request.method !== "POST") throw methodNotAllowed();
    const body = objectOf(await readBody(request), reviewSchemas[kind]);
    const everything = { verbs: ["*"], apiGroups: ["*"], resources: ["*"] };
    const status: JsonObject =
      kind === "SelfSubjectAccessReview"
        ? { allowed: true }
        : kind === "SelfSubjectReview"
          ? { userInfo: { username: user, groups: ["system:masters", "system:authenticated"] } }
          : {
              resourceRules: [everything],
              nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
              incomplete: false,
            };
    sendJson(response, 201, JSON.stringify({ ...body, status }));
  }
}

function target(request: IncomingMessage, kinds: KindSet): { readonly route: Route; readonly query: URLSearchParams } {
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
  return { route: parseRoute(mark < 0 ? url : url.slice(0, mark), kinds), query };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** The name that Go can parse; clients ask for it with an @ before v1.0, which Go refuses in answers. */
const protobufType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

function sendOpenApi2(response: ServerResponse, accept: string, kinds: KindSet): void {
  if (!accept.includes("protobuf")) {
    sendJson(response, 200, documentsOf(kinds).json2);
    return;
  }
  const bytes = documentsOf(kinds).protobuf2;
  response.writeHead(200, { "content-type": protobufType, "content-length": bytes.length }).end(bytes);
}

function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  report: (error: unknown) => void,
): void {
  if (request.destroyed && !request.complete) {
    response.destroy();
    return;
  }
  const known = statusOf(error, report);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // What is left of a body is not worth reading: the connection ends with the answer.
  if (!request.complete) response.setHeader("connection", "close");
  if (known.code === 401) response.setHeader("www-authenticate", "Bearer");
  sendJson(response, known.code, JSON.stringify(known.toStatus()));
}

/** The error as the client is told it. What is not meant for clients is reported, and told without its details. */
function statusOf(error: unknown, report: (error: unknown) => void): ApiError {
  if (error instanceof ApiError) return error;
  report(error);
  return new ApiError(500, "InternalError", "Internal error occurred: the server failed; its log says how");
}

/** `kubectl logs` and `kubectl exec`: requests that are handed on to the nodes. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex, Readable } from "node:stream";
import type { Api } from "../api.ts";
import { badRequest, unknownPath } from "../errors.ts";
import { type ApiObject, type JsonObject, listAt, textAt } from "../json.ts";
import { pod as podKind } from "../kinds/pod.ts";
import { flagOf, numberOf } from "./params.ts";
import type { PodAccess, PodProcess } from "./podaccess.ts";
import type { ResourceRoute } from "./route.ts";
import { acceptOf, WebSocketConnection } from "./websocket.ts";

/** The pod of a route and the container that the client means. */
function findContainer(
  api: Api,
  route: ResourceRoute,
  query: URLSearchParams,
): { readonly pod: ApiObject; readonly container: string } {
  const pod = api.get(podKind, route.namespace, route.name);
  const names = listAt(pod, "spec", "containers").map((item) => textAt(item, "name"));
  const asked = query.get("container") ?? "";
  const [first = ""] = names;
  if (asked === "" && names.length > 1) {
    throw badRequest(`a container name must be specified for pod ${route.name}, choose one of: [${names.join(" ")}]`);
  }
  if (asked !== "" && !names.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${route.name}`);
  return { pod, container: asked || first };
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
  const stop = new AbortController();
  response.on("close", () => stop.abort());
  const request = {
    pod,
    container,
    follow: flagOf(query, "follow") ?? false,
    previous: flagOf(query, "previous") ?? false,
  };
  let first = true;
  try {
    for await (const text of access.logs(request, stop.signal)) {
      if (first)
        response.writeHead(200, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-cache, private" });
      const shown = first && lines !== undefined ? lastLines(text, lines) : text;
      if (first) response.flushHeaders();
      first = false;
      if (shown !== "" && !response.write(shown)) await drained(response, stop.signal);
      if (stop.signal.aborted) return;
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

/** The last lines of a text. */
export function lastLines(text: string, count: number): string {
  let at = text.endsWith("\n") ? text.length - 1 : text.length;
  for (let i = 0; i < count && at >= 0; i++) at = at === 0 ? -1 : text.lastIndexOf("\n", at - 1);
  return count === 0 ? "" : text.slice(at + 1);
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The protocols of remote commands that the server speaks, the best first. */
const protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/** What the first byte of a message says it is. */
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/**
 * Takes over a connection for `kubectl exec`.
 *
 * @throws {ApiError} before anything was sent, if it cannot be done.
 */
export function startExec(
  access: PodAccess,
  api: Api,
  route: ResourceRoute,
  query: URLSearchParams,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  if (route.kind.kind !== "Pod" || route.subresource !== "exec") throw unknownPath();
  if ((request.headers.upgrade ?? "").toLowerCase() !== "websocket") {
    throw badRequest(
      "unable to upgrade connection: commands run over WebSockets, which kubectl uses from 1.30 on (1.29 with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)",
    );
  }
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  const protocol = protocols.find((name) => offered.includes(name));
  const key = request.headers["sec-websocket-key"];
  if (protocol === undefined || key === undefined)
    throw badRequest(`the client speaks none of ${protocols.join(", ")}`);
  const { pod, container } = findContainer(api, route, query);
  const command = query.getAll("command");
  if (command.length === 0) throw badRequest("you must specify at least one command for the container");
  const tty = flagOf(query, "tty") ?? false;
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
  );
  let program: PodProcess;
  try {
    program = access.exec({ pod, container, command, tty });
  } catch (error) {
    // Told as the outcome of the command: a client whose WebSocket is refused would try something else, and show that error.
    const connection = new WebSocketConnection(socket, head, {
      message: () => {},
      drained: () => {},
      closed: () => {},
    });
    sendOutcome(connection, failure(error instanceof Error ? error.message : String(error), undefined));
    return;
  }
  connect(program, socket, head, flagOf(query, "stdin") ?? false);
}

function connect(program: PodProcess, socket: Duplex, head: Buffer, takesInput: boolean): void {
  const outputs: readonly Readable[] = [program.stdout, program.stderr];
  const connection = new WebSocketConnection(socket, head, {
    message(payload) {
      const [kind] = payload;
      const rest = payload.subarray(1);
      if (kind === channel.stdin && takesInput && !program.stdin.write(rest)) connection.pause();
      else if (kind === channel.close && rest[0] === channel.stdin) program.stdin.end();
    },
    drained() {
      for (const output of outputs) output.resume();
    },
    closed() {
      program.kill();
    },
  });
  program.stdin.on("error", () => undefined);
  program.stdin.on("drain", () => connection.resume());
  if (!takesInput) program.stdin.end();
  for (const [i, output] of outputs.entries()) {
    const prefix = Uint8Array.of(i === 0 ? channel.stdout : channel.stderr);
    output.on("data", (bytes: Uint8Array) => {
      if (!connection.send(Buffer.concat([prefix, bytes]))) for (const each of outputs) each.pause();
    });
  }
  program.exit.then(
    (code) => {
      const failed = `command terminated with non-zero exit code: exit status ${code}`;
      sendOutcome(connection, code === 0 ? success : failure(failed, code));
    },
    (error: unknown) =>
      sendOutcome(connection, failure(error instanceof Error ? error.message : String(error), undefined)),
  );
}

function sendOutcome(connection: WebSocketConnection, status: JsonObject): void {
  connection.send(Buffer.concat([Uint8Array.of(channel.error), Buffer.from(JSON.stringify(status))]));
  connection.close();
}

const success: JsonObject = { metadata: {}, status: "Success" };

function failure(message: string, code: number | undefined): JsonObject {
  if (code === undefined) return { metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 };
  const details = { causes: [{ reason: "ExitCode", message: String(code) }] };
  return { metadata: {}, status: "Failure", message, reason: "NonZeroExitCode", details };
}

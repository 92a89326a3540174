/** `kubectl port-forward`: connections of the client to ports of a pod, as pairs of SPDY streams. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Api } from "../../api.ts";
import type { ApiObject } from "../../json.ts";
import { pod as podKind } from "../../kinds/pod.ts";
import type { PodAccess } from "../podaccess.ts";
import type { ResourceRoute } from "../route.ts";
import { SpdyConnection, type SpdyStream } from "./spdy.ts";
import { webSocketBytes } from "./streams.ts";
import { negotiate } from "./upgrade.ts";

/** New clients carry SPDY through a WebSocket, which more proxies let pass. */
const protocols = { websocket: ["SPDY/3.1+portforward.k8s.io"], spdy: ["portforward.k8s.io"] } as const;

/**
 * Takes over a connection for connections to a pod.
 *
 * @throws {ApiError} before anything was sent, if it cannot be done.
 */
export function startPortForward(
  access: PodAccess,
  api: Api,
  route: ResourceRoute,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const { carrier, accept } = negotiate(request, protocols);
  const pod = api.get(podKind, route.namespace, route.name);
  accept(socket);
  const [carried, rest] = carrier === "websocket" ? [webSocketBytes(socket, head), Buffer.alloc(0)] : [socket, head];
  /** Streams for errors that wait for the stream of their connection. */
  const errors = new Map<string, SpdyStream>();
  new SpdyConnection(carried, rest, (stream) => {
    const id = stream.headers.get("requestid") ?? "";
    const error = errors.get(id);
    if (stream.headers.get("streamtype") === "error") {
      errors.set(id, stream);
      stream.resume();
      stream.on("close", () => errors.get(id) === stream && errors.delete(id));
    } else if (error === undefined) stream.destroy();
    else {
      errors.delete(id);
      void connect(access, pod, stream, error);
    }
  });
}

/** One connection: from the client to a port, until both sides have ended it. */
async function connect(access: PodAccess, pod: ApiObject, data: SpdyStream, error: SpdyStream): Promise<void> {
  const port = Number(data.headers.get("port"));
  try {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`${data.headers.get("port")} is no port`);
    const inner = await access.connect(pod, port);
    await Promise.all([pipeline(data, inner), pipeline(inner, data)]);
    error.end();
  } catch (reason) {
    const why = reason instanceof Error ? reason.message : String(reason);
    error.end(`error forwarding port ${port} to pod ${pod.metadata.name}: ${why}`);
    data.destroy();
  }
}

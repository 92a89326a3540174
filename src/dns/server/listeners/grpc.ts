/** DNS over gRPC as CoreDNS speaks it: service coredns.dns.DnsService, method Query(DnsPacket{bytes msg = 1}). */
import type { Http2ServerResponse } from "node:http2";
import { frame, unframe } from "../../wire/grpc.ts";
import type { ListenAddress, Listener, ListenerContext } from "./listener.ts";
import { listenWeb, readBody } from "./web.ts";

/** The path of the method. */
export const queryPath = "/coredns.dns.DnsService/Query";
const maxMessage = 65535 + 16;
/** Codes of gRPC's `grpc-status`. */
const status = { ok: 0, invalidArgument: 3, unimplemented: 12, internal: 13 } as const;

/** Opens the port. */
export function listenGrpc(listen: ListenAddress, { settings }: ListenerContext): Promise<Listener> {
  const limits = { connections: settings.grpcMaxConnections, streams: settings.grpcMaxStreams };
  return listenWeb(listen, settings, limits, async (request, response, ask) => {
    if (!("stream" in request) || !("stream" in response)) {
      response.statusCode = 505;
      response.end();
      return;
    }
    if (request.url !== queryPath) return finish(response, status.unimplemented, `the method is ${queryPath}`);
    const body = await readBody(request, maxMessage);
    const query = body === undefined ? undefined : unframe(body);
    if (query === undefined)
      return finish(response, status.invalidArgument, "the request is not one uncompressed DnsPacket");
    const reply = await ask(query, "grpc");
    if (reply === undefined) return finish(response, status.internal, "no response");
    finish(response, status.ok, "", frame(reply));
  });
}

/** Ends the call with a status, after the message if there is one. */
function finish(
  response: Http2ServerResponse,
  code: number,
  message: string,
  body: Uint8Array = new Uint8Array(),
): void {
  response.setHeader("content-type", "application/grpc");
  response.addTrailers({ "grpc-status": String(code), ...(message === "" ? {} : { "grpc-message": message }) });
  response.end(body);
}

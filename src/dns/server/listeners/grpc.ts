/** DNS over gRPC as CoreDNS speaks it: service coredns.dns.DnsService, method Query(DnsPacket{bytes msg = 1}). */
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Dispatcher } from "../dispatch.ts";
import type { Client } from "../query.ts";
import { type ListenAddress, type Listener, type ListenerContext, plainAddress } from "./listener.ts";
import { openWeb, readBody } from "./web.ts";

/** The path of the method. */
export const queryPath = "/coredns.dns.DnsService/Query";
const maxMessage = 65535 + 16;
/** Codes of gRPC's `grpc-status`. */
const status = { ok: 0, invalidArgument: 3, unimplemented: 12, internal: 13 } as const;

/** Opens the port. */
export async function listenGrpc(listen: ListenAddress, { settings }: ListenerContext): Promise<Listener> {
  let dispatcher: Dispatcher | undefined;
  const limits = { connections: settings.grpcMaxConnections, streams: settings.grpcMaxStreams };
  const port = await openWeb(listen.address, listen.port, settings, limits, (request, response) => {
    if (!("stream" in request) || !("stream" in response)) {
      response.statusCode = 505;
      response.end();
      return;
    }
    answer(request, response, () => dispatcher).catch(() => response.destroy());
  });
  return {
    port: port.port,
    close: () => port.close(),
    serve(next, { tls }) {
      dispatcher = next;
      port.secure(tls);
    },
  };
}

async function answer(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  dispatcher: () => Dispatcher | undefined,
): Promise<void> {
  if (request.url !== queryPath) return finish(response, status.unimplemented, `the method is ${queryPath}`);
  const body = await readBody(request, maxMessage);
  const query = body === undefined ? undefined : unframe(body);
  if (query === undefined)
    return finish(response, status.invalidArgument, "the request is not one uncompressed DnsPacket");
  const { socket } = request;
  const client: Client = {
    protocol: "grpc",
    address: plainAddress(socket.remoteAddress),
    port: socket.remotePort ?? 0,
    localAddress: plainAddress(socket.localAddress),
    localPort: socket.localPort ?? 0,
  };
  const reply = await new Promise<Buffer | undefined>((resolve) => {
    const current = dispatcher();
    if (current === undefined) resolve(undefined);
    else current.handle(query, client, (bytes) => resolve(bytes === undefined ? undefined : Buffer.from(bytes)));
  });
  if (reply === undefined) return finish(response, status.internal, "no response");
  finish(response, status.ok, "", frame(reply));
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

/** A DNS message as the body of a call: compression flag, length, and protobuf's field 1 of bytes. */
export function frame(message: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = message.length;
  for (; rest > 127; rest >>= 7) length.push((rest & 127) | 128);
  length.push(rest);
  const head = Buffer.from([0, 0, 0, 0, 0, 0x0a, ...length]);
  head.writeUInt32BE(1 + length.length + message.length, 1);
  return Buffer.concat([head, message]);
}

/** The DNS message of a body of exactly one call; undefined if it is not one. */
export function unframe(body: Buffer): Buffer | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined;
  let message: Buffer | undefined;
  for (let at = 5; at < body.length; ) {
    const [tag, afterTag] = varint(body, at);
    const [length, start] = varint(body, afterTag);
    if (tag === undefined || length === undefined || (tag & 7) !== 2 || start + length > body.length) return undefined;
    if (tag >> 3 === 1) message = body.subarray(start, start + length);
    at = start + length;
  }
  return message;
}

/** A number of protobuf's variable length at an offset, and the offset after it. */
function varint(body: Buffer, start: number): readonly [number | undefined, number] {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = body[start + i];
    if (byte === undefined) return [undefined, start];
    value |= (byte & 127) << (7 * i);
    if (byte < 128) return [value, start + i + 1];
  }
  return [undefined, start];
}

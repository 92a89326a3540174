/** Asks gRPC servers for their health (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). */
import { once } from "node:events";
import { connect } from "node:http2";
import { connectInside } from "../../kernel/sockets/tcp.ts";
import type { Address } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";

/** Whom to ask. */
export interface HealthTarget {
  readonly namespace: string;
  readonly address: Address;
  readonly port: number;
}

/** The names of `ServingStatus`, by number. */
const statuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

/** The status of a server that is well. */
export const serving: HealthStatus = "SERVING";

/** What a server can say of itself. */
export type HealthStatus = (typeof statuses)[number];

/** Bytes of an answer that are read: a good one has seven. */
const maximumAnswer = 1024;

/** Asks for the health of a service, or of the whole server if its name is empty. @throws an Error where there is no answer. */
export async function askHealth(
  { namespace, address, port }: HealthTarget,
  service: string,
  signal: AbortSignal,
): Promise<HealthStatus> {
  const socket = connectInside(namespace, address, port);
  const session = connect(`http://${formatHostPort(address, port)}`, { createConnection: () => socket });
  const failed = new Promise<never>((_, reject) => session.on("error", reject));
  try {
    const call = session.request(
      {
        ":method": "POST",
        ":path": "/grpc.health.v1.Health/Check",
        "content-type": "application/grpc",
        "user-agent": "kube-probe/portolan",
        te: "trailers",
      },
      { signal },
    );
    call.end(encodeRequest(service));
    let refusal = "";
    const note = (headers: Readonly<Record<string, unknown>>) => {
      const { "grpc-status": status = "0", "grpc-message": message = "" } = headers;
      if (status !== "0") refusal = `grpc status ${status} ${message}`.trim();
    };
    call.on("response", note).on("trailers", note);
    const pieces: Buffer[] = [];
    call.on("data", (piece: Buffer) => {
      pieces.push(piece);
      if (Buffer.concat(pieces).length > maximumAnswer) call.destroy(new Error("the answer is too long"));
    });
    await Promise.race([once(call, "end"), failed]);
    if (refusal !== "") throw new Error(refusal);
    return decodeResponse(Buffer.concat(pieces));
  } finally {
    session.destroy();
    socket.destroy();
  }
}

/** A `HealthCheckRequest { string service = 1; }` as the body of a call; names have 127 bytes at most. @throws {RangeError} */
export function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  if (name.length > 127) throw new RangeError(`the name of a service is too long: ${service.slice(0, 40)}...`);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The status in a `HealthCheckResponse { ServingStatus status = 1; }`. @throws an Error if it is none. */
export function decodeResponse(body: Buffer): HealthStatus {
  const message = body.subarray(5);
  const number = message.length === 0 ? 0 : message[0] === 0x08 && message.length === 2 ? message[1] : undefined;
  const status = body.length >= 5 && body.readUInt32BE(1) === message.length ? statuses[number ?? -1] : undefined;
  if (status === undefined) throw new Error("the answer is none of grpc.health.v1.Health");
  return status;
}

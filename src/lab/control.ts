/** How commands talk to the supervisor of a lab: requests in JSON over a socket in the lab's folder. */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { errorText } from "../telemetry/log.ts";
import type { NodeStatus } from "./lab.ts";

/** What a supervisor can be asked to do. */
export type ControlRequest =
  | { readonly op: "status" }
  | { readonly op: "mode"; readonly mode: string }
  | { readonly op: "addNode"; readonly zone: string }
  | { readonly op: "removeNode" | "stopNode" | "startNode"; readonly name: string }
  /** The pods' addresses as the node's proxy is told them; without them, as they are. */
  | { readonly op: "clusterCIDR"; readonly name: string; readonly cidr?: string };

/** How a lab is. */
export interface LabStatus {
  readonly phase: "starting" | "ready" | "failed";
  /** What it is doing, or how it failed. */
  readonly message: string;
  readonly nodes: readonly NodeStatus[];
}

/** Characters of a request or an answer that are read: a lab of many nodes has much to say. */
const maximumText = 1 << 20;
/** Milliseconds that an answer may take: the longest is that a proxy serves. */
const patience = 60_000;

/** Answers requests until it is closed. */
export async function listenForControl(
  socketPath: string,
  handle: (request: ControlRequest) => Promise<unknown>,
): Promise<Server> {
  rmSync(socketPath, { force: true });
  const server = createServer(async (incoming, response) => {
    let status = 200;
    let answer: unknown;
    try {
      answer = (await handle(JSON.parse(await textOf(incoming)) as ControlRequest)) ?? null;
    } catch (error) {
      status = 400;
      answer = { error: errorText(error) };
    }
    response.writeHead(status, { "content-type": "application/json", connection: "close" });
    response.end(JSON.stringify(answer));
  });
  server.listen(socketPath);
  await once(server, "listening");
  return server;
}

/** Asks a supervisor. @throws an Error with what it says if it refuses, or if there is none. */
export async function control(socketPath: string, asked: ControlRequest, signal: AbortSignal): Promise<unknown> {
  const outgoing = request({
    socketPath,
    method: "POST",
    path: "/",
    signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]),
  });
  outgoing.end(JSON.stringify(asked));
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const answer = JSON.parse(await textOf(response)) as { readonly error?: string } | null;
  if (response.statusCode !== 200) throw new Error(answer?.error ?? `the supervisor answered ${response.statusCode}`);
  return answer;
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of message.setEncoding("utf8")) {
    text += piece;
    if (text.length > maximumText) throw new Error("too long");
  }
  return text;
}

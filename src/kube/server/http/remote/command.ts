/** `kubectl exec` and `kubectl attach`: programs of pods, with their streams at the client. */
import type { IncomingMessage } from "node:http";
import type { Duplex, Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { Api } from "../../api.ts";
import { badRequest } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { flagOf } from "../params.ts";
import type { PodAccess, PodProcess } from "../podaccess.ts";
import { findContainer } from "../pods.ts";
import type { ResourceRoute } from "../route.ts";
import { type RemoteStreams, spdyStreams, webSocketStreams } from "./streams.ts";
import { negotiate } from "./upgrade.ts";

/** The protocols of remote commands that the server speaks, the best first. */
const protocols = {
  websocket: ["v5.channel.k8s.io", "v4.channel.k8s.io"],
  spdy: ["v4.channel.k8s.io"],
} as const;

/**
 * Takes over a connection for a command.
 *
 * @throws {ApiError} before anything was sent, if it cannot be done.
 */
export async function startCommand(
  access: PodAccess,
  api: Api,
  route: ResourceRoute,
  query: URLSearchParams,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { carrier, accept } = negotiate(request, protocols);
  const { pod, container } = findContainer(api, route, query);
  const command = query.getAll("command");
  const attach = route.subresource === "attach";
  if (!attach && command.length === 0) throw badRequest("you must specify at least one command for the container");
  const flag = (name: string) => flagOf(query, name) ?? false;
  const tty = flag("tty");
  const wanted = { stdin: flag("stdin"), stdout: flag("stdout"), stderr: flag("stderr") && !tty, resize: tty };
  accept(socket);
  let streams: RemoteStreams;
  try {
    streams = carrier === "websocket" ? webSocketStreams(socket, head) : await spdyStreams(socket, head, wanted);
  } catch {
    // The client has gone, or has not kept to the protocol: it is not to be told in that of before.
    socket.destroy();
    return;
  }
  try {
    const program = attach
      ? access.attach({ pod, container, stdin: wanted.stdin })
      : access.exec({ pod, container, command, tty });
    await run(program, streams, wanted.stdin);
  } catch (error) {
    // Told as the outcome of the command: a client whose connection is refused would try something else, and show that error.
    tell(streams, failure(error instanceof Error ? error.message : String(error), undefined));
  }
}

async function run(program: PodProcess, streams: RemoteStreams, takesInput: boolean): Promise<void> {
  const { stdin, stdout, stderr, resize, gone } = streams;
  const kill = () => program.kill();
  if (gone.aborted) kill();
  gone.addEventListener("abort", kill, { once: true });
  program.stdin?.on("error", () => undefined);
  if (takesInput && stdin !== undefined && program.stdin !== undefined) stdin.pipe(program.stdin);
  else program.stdin?.end();
  resize?.on("data", (bytes: Buffer) => {
    const size = sizeOf(bytes);
    if (size !== undefined) program.resize?.(size.columns, size.rows);
  });
  const outputs = [pass(program.stdout, stdout), pass(program.stderr, stderr)];
  let status: JsonObject;
  try {
    const code = await program.exit;
    await Promise.all(outputs);
    status = code === 0 ? success : failure(`command terminated with non-zero exit code: exit status ${code}`, code);
  } catch (error) {
    status = failure(error instanceof Error ? error.message : String(error), undefined);
  }
  gone.removeEventListener("abort", kill);
  tell(streams, status);
}

/** Passes output on, to the end. */
async function pass(from: Readable, to: Writable | undefined): Promise<void> {
  if (to === undefined) {
    from.resume();
    return;
  }
  from.pipe(to);
  await finished(to, { readable: false }).catch(() => undefined);
}

/** The size of a terminal, where the client says one that makes sense. */
function sizeOf(bytes: Buffer): { readonly columns: number; readonly rows: number } | undefined {
  try {
    const { Width: columns, Height: rows } = JSON.parse(bytes.toString()) as { Width?: unknown; Height?: unknown };
    const good = (value: unknown): value is number =>
      Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff;
    return good(columns) && good(rows) ? { columns, rows } : undefined;
  } catch {
    return undefined;
  }
}

function tell(streams: RemoteStreams, status: JsonObject): void {
  streams.error.end(JSON.stringify(status), () => streams.close());
}

const success: JsonObject = { metadata: {}, status: "Success" };

function failure(message: string, code: number | undefined): JsonObject {
  if (code === undefined) return { metadata: {}, status: "Failure", message, reason: "InternalError", code: 500 };
  const details = { causes: [{ reason: "ExitCode", message: String(code) }] };
  return { metadata: {}, status: "Failure", message, reason: "NonZeroExitCode", details };
}

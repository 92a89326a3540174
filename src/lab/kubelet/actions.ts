/** Does what probes and hooks ask for, from the node or inside the pod. */
import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Disguise, signalProcess, spawnInside } from "../../kernel/programs.ts";
import { connectInside } from "../../kernel/sockets/tcp.ts";
import { type Address, tryParseAddress } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";
import { type Action, type PodContainer, resolvePort } from "./pod.ts";

/** Where the containers of a pod run. */
export interface Sandbox {
  readonly namespace: string;
  /** The namespace of its node, from which it is probed. */
  readonly nodeNamespace: string;
  readonly addresses: readonly Address[];
  readonly disguise: Disguise;
  /** What every container of the pod has in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Folder for the logs of its containers. */
  readonly folder: string;
}

/** HTTP statuses that a probe takes for a yes. */
const goodStatus = (status: number) => status >= 200 && status < 400;

/**
 * Does it.
 *
 * @param signal ends it, which counts as a failure.
 * @throws an Error that says how it failed.
 */
export async function act(
  action: Action,
  container: PodContainer,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<void> {
  switch (action.type) {
    case "sleep":
      await sleep(action.milliseconds, undefined, { signal });
      return;
    case "exec":
      return execute(action.command, sandbox, signal);
    case "tcp": {
      const socket = connect(action.host, action.port, container, sandbox);
      try {
        await once(socket, "connect", { signal });
      } finally {
        socket.destroy();
      }
      return;
    }
    case "http":
      return get(action, container, sandbox, signal);
  }
}

async function execute(command: readonly string[], sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  const { namespace, disguise, environment } = sandbox;
  const child = spawnInside(namespace, command, { detached: true, stdio: "ignore", env: environment }, disguise);
  const kill = () => child.pid !== undefined && signalProcess(-child.pid, "SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    signal.throwIfAborted();
    if (code !== 0) throw new Error(`${command[0]} ended with status ${code}`);
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

async function get(
  { host, port, path, headers }: Action & { readonly type: "http" },
  container: PodContainer,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<void> {
  const socket = connect(host, port, container, sandbox);
  const named = new Map(headers.map(({ name, value }) => [name.toLowerCase(), value]));
  if (!named.has("host")) named.set("host", formatHostPort(sandbox.addresses[0] ?? "", socket.remotePort ?? 0));
  if (!named.has("user-agent")) named.set("user-agent", "kube-probe/portolan");
  const asked = request({
    path: path.startsWith("/") ? path : `/${path}`,
    headers: { ...Object.fromEntries(named), connection: "close" },
    createConnection: () => socket,
    signal,
  });
  try {
    asked.end();
    const [response] = (await once(asked, "response", { signal })) as [
      { readonly statusCode?: number; resume(): void },
    ];
    response.resume();
    const { statusCode = 0 } = response;
    if (!goodStatus(statusCode)) throw new Error(`HTTP status ${statusCode}`);
  } finally {
    socket.destroy();
  }
}

function connect(host: string, port: string, container: PodContainer, { nodeNamespace, addresses }: Sandbox) {
  const number = resolvePort(port, container);
  if (number === undefined) throw new Error(`container ${container.name} has no port ${JSON.stringify(port)}`);
  const address = host === "" ? addresses[0] : tryParseAddress(host);
  if (address === undefined) throw new Error(`${JSON.stringify(host)} is not an address`);
  const socket = connectInside(nodeNamespace, address, number);
  // Whoever waits for it is told by the event; without anybody, a failure must not end the program.
  socket.on("error", () => {});
  return socket;
}

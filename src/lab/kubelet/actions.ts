/** Does what probes and hooks ask for, from the node or inside the pod. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { type Disguise, signalProcess, spawnInside } from "../../kernel/programs.ts";
import { connectInside } from "../../kernel/sockets/tcp.ts";
import { type Address, tryParseAddress } from "../../net/address.ts";
import { askHealth, serving } from "../network/grpchealth.ts";
import { getInside } from "../network/http.ts";
import { type Action, type PodContainer, resolvePort } from "./pod.ts";

/** Where the containers of a pod run. */
export interface Sandbox {
  readonly namespace: string;
  /** The namespace of its node, from which it is probed. */
  readonly nodeNamespace: string;
  readonly addresses: readonly Address[];
  /** Of its node. */
  readonly hostAddresses: readonly Address[];
  readonly disguise: Disguise;
  /** What every container of the pod has in its environment; for one container, all that it has. */
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
      return execute(action.command, container, sandbox, signal);
    case "tcp": {
      const { address, port } = targetOf(action.host, action.port, container, sandbox);
      const socket = connectInside(sandbox.nodeNamespace, address, port);
      try {
        await once(socket, "connect", { signal });
      } finally {
        socket.destroy();
      }
      return;
    }
    case "http":
      return get(action, container, sandbox, signal);
    case "grpc": {
      const target = { namespace: sandbox.nodeNamespace, ...targetOf("", action.port, container, sandbox) };
      const status = await askHealth(target, action.service, signal);
      if (status !== serving) throw new Error(`service unhealthy (responded with ${JSON.stringify(status)})`);
      return;
    }
  }
}

async function execute(
  command: readonly string[],
  { workingDir: cwd }: PodContainer,
  { namespace, disguise, environment: env }: Sandbox,
  signal: AbortSignal,
): Promise<void> {
  const child = spawnInside(namespace, command, { detached: true, stdio: "ignore", env, cwd }, disguise);
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
  const named = headers.map(({ name, value }) => [name.toLowerCase(), value] as const);
  const target = { namespace: sandbox.nodeNamespace, ...targetOf(host, port, container, sandbox) };
  const { status } = await getInside(
    { ...target, path, headers: { "user-agent": "kube-probe/portolan", ...Object.fromEntries(named) } },
    signal,
  );
  if (!goodStatus(status)) throw new Error(`HTTP status ${status}`);
}

function targetOf(host: string, port: string, container: PodContainer, { addresses }: Sandbox) {
  const number = resolvePort(port, container);
  if (number === undefined) throw new Error(`container ${container.name} has no port ${JSON.stringify(port)}`);
  const address = host === "" ? addresses[0] : tryParseAddress(host);
  if (address === undefined) throw new Error(`${JSON.stringify(host)} is not an address`);
  return { address, port: number };
}

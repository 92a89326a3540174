/** The API server as a whole: store, API, HTTPS listener, credentials. */
import { once } from "node:events";
import { createServer } from "node:https";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type Prefix, parsePrefix } from "../../net/prefix.ts";
import { formatHostPort } from "../../net/protocol.ts";
import { Api } from "./api.ts";
import { bootstrap } from "./bootstrap.ts";
import { type Credentials, loadCredentials, writeKubeconfig } from "./credentials.ts";
import type { PodAccess } from "./http/podaccess.ts";
import { createHandlers } from "./http/serve.ts";
import { Watches } from "./http/watch.ts";
import type { Kind } from "./kinds/kind.ts";
import type { PortRange } from "./services/allocate.ts";
import { Store } from "./store/store.ts";

/** How a server is to run. */
export interface ApiServerOptions {
  /** Directory for objects, keys and the kubeconfig; made if it is missing. */
  readonly directory: string;
  /** Name of the cluster in the kubeconfig. */
  readonly name?: string;
  /** Address to listen on; 127.0.0.1 unless given. */
  readonly address?: string;
  /** Port to listen on; 0, the default, lets the system choose. */
  readonly port?: number;
  /** Further names and addresses for the certificate. */
  readonly names?: readonly string[];
  /** Ranges of cluster IPs, at most one of each family; the first is preferred. 10.96.0.0/16 unless given. */
  readonly serviceCIDRs?: readonly Prefix[];
  /** Ports for node ports; 30000 to 32767 unless given. */
  readonly nodePorts?: PortRange;
  /** Milliseconds since the epoch; the system's clock unless given. */
  readonly now?: () => number;
  /** Numbers from 0 up to 1 for the choice of addresses and ports. */
  readonly random?: () => number;
  /** Told of errors that are the server's own. */
  readonly report?: (error: unknown) => void;
  /** The way to the pods, for `kubectl logs` and `kubectl exec`; without it there are neither. */
  readonly pods?: PodAccess;
  /** Milliseconds that a watching client may take to read; 30 s unless given. */
  readonly stallMilliseconds?: number;
  /** Milliseconds between bookmarks of a quiet watch; 60 s unless given. */
  readonly bookmarkMilliseconds?: number;
  /** Changes of each kind that watchers can catch up with; 5,000 unless given. */
  readonly history?: number;
}

/** A server that runs. */
export interface ApiServer {
  /** `https://127.0.0.1:6443`. */
  readonly url: string;
  readonly port: number;
  /** The file that kubectl needs. */
  readonly kubeconfig: string;
  readonly credentials: Credentials;
  /** The API in this process, for controllers. */
  readonly api: Api;
  /** Ends all connections and closes the store. */
  stop(): Promise<void>;
}

/** Connections that the server holds at the same time. */
const connectionLimit = 4096;

/**
 * Starts a server. It ends when `signal` is aborted or `stop` is called.
 *
 * @throws {Error} if the store cannot be opened or the address is taken.
 */
export async function startApiServer(options: ApiServerOptions, signal?: AbortSignal): Promise<ApiServer> {
  const { directory, address = "127.0.0.1", now = Date.now, report = console.error } = options;
  signal?.throwIfAborted();
  const serviceCIDRs = options.serviceCIDRs ?? [parsePrefix("10.96.0.0/16")];
  const credentials = loadCredentials(directory, certificateNames(address, options.names ?? []), new Date(now()));
  const store = new Store(join(directory, "store"), options.history);
  const nodePorts = options.nodePorts ?? { first: 30_000, last: 32_767 };
  const api = new Api(store, { now, nodePorts, random: options.random ?? Math.random });
  const serves = ({ group, version, plural }: Kind) => api.kinds.find(group, version, plural) !== undefined;
  const limits = { stall: options.stallMilliseconds ?? 30_000, bookmark: options.bookmarkMilliseconds ?? 60_000 };
  const watches = new Watches(store, limits, now, report, serves);
  let port = 0;
  const handlers = createHandlers({
    api,
    watches,
    pods: options.pods,
    users: [{ name: "admin", token: credentials.token }],
    address: () => formatHostPort(address, port),
    report,
  });
  const { certificate: cert, key } = credentials.server;
  const server = createServer(
    { cert, key, minVersion: "TLSv1.2", requestTimeout: 60_000, headersTimeout: 20_000 },
    handlers.request,
  );
  /** Connections that became something else, of which the server knows no more. */
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (request, socket, head) => {
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    handlers.upgrade(request, socket, head);
  });
  server.maxConnections = connectionLimit;
  // A client that breaks off is no error of the server.
  server.on("tlsClientError", (_, socket) => socket.destroy());
  server.on("clientError", (_, socket) => socket.destroy());
  try {
    server.listen(options.port ?? 0, address);
    await once(server, "listening");
    const bound = server.address();
    port = typeof bound === "object" && bound !== null ? bound.port : 0;
    bootstrap(api, serviceCIDRs, port);
  } catch (error) {
    server.close();
    watches.stop();
    store.close();
    throw error;
  }
  const url = `https://${formatHostPort(address, port)}`;
  const kubeconfig = join(directory, "kubeconfig");
  writeKubeconfig(kubeconfig, options.name ?? "portolan", url, credentials);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      signal?.removeEventListener("abort", onAbort);
      watches.stop();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      await closed;
      store.close();
    })();
    return stopping;
  };
  const onAbort = () => void stop().catch(report);
  signal?.addEventListener("abort", onAbort, { once: true });
  return { url, port, kubeconfig, credentials, api, stop };
}

function certificateNames(address: string, others: readonly string[]): readonly string[] {
  const usual = ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  return [...new Set([...usual, ...(address === "0.0.0.0" || address === "::" ? [] : [address]), ...others])];
}

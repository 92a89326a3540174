/**
 * Many short connections, to see whether any is lost while something else happens, and how long each takes. Clients and
 * servers are threads in the namespaces of a test network that make blocking system calls: several thousand
 * connections a second, of which each is made, answered and reset.
 */
import { Worker } from "node:worker_threads";
import type { Address } from "../../src/net/address.ts";
import type { Host } from "./network.ts";

/** What a client thread does; see {@link startLoad}. */
export interface LoadOptions {
  readonly to: Address;
  readonly port: number;
  /** How many connections to make; without it, as many as there is time for until {@link Load.stop}. */
  readonly connections?: number;
  /** Milliseconds that a connection may take until it counts as lost. 900 if not given: less than a SYN sent again. */
  readonly timeout?: number;
  /** Milliseconds between the end of a connection and the next one. 0 if not given. */
  readonly pause?: number;
}

/** What became of the connections. */
export interface LoadResult {
  /** How many were tried. */
  readonly connections: number;
  /** How many failed, by the error's name; `TIMEOUT` for those that took too long. */
  readonly failures: Readonly<Record<string, number>>;
  /** How many each server answered, by its name. */
  readonly answers: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Microseconds from the first system call to the established connection, of those that succeeded. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** Clients at work. */
export interface Load {
  /** How many connections were tried so far. */
  readonly count: number;
  /** Resolves when all connections are made, or after {@link stop}. */
  readonly done: Promise<LoadResult>;
  /** Ends after the connection that is being made. */
  stop(): Promise<LoadResult>;
}

/** A server thread. */
export interface LoadServer {
  /** Ends it, within a tenth of a second. */
  close(): Promise<void>;
}

/** What the threads share: whether to stop, whether it listens, how many connections were tried. */
export const control = { stop: 0, ready: 1, count: 2, length: 3 } as const;

/** What a thread is told. */
export type LoadTask =
  | ({ readonly role: "client"; readonly shared: SharedArrayBuffer } & LoadOptions)
  | {
      readonly role: "server";
      readonly shared: SharedArrayBuffer;
      readonly address: Address;
      readonly port: number;
      readonly name: string;
    };

/** Starts a client thread on a host. Several make more connections at once. */
export function startLoad(host: Host, options: LoadOptions): Load {
  const { worker, shared } = startThread(host, (buffer) => ({ role: "client", shared: buffer, ...options }));
  const done = new Promise<LoadResult>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return {
    get count() {
      return Atomics.load(shared, control.count);
    },
    done,
    stop() {
      Atomics.store(shared, control.stop, 1);
      return done;
    },
  };
}

/** Makes connections one after the other and says what became of them. */
export function measureLoad(host: Host, options: LoadOptions & { readonly connections: number }): Promise<LoadResult> {
  return startLoad(host, options).done;
}

/**
 * Starts a server thread on a host that accepts, says its name (at most 64 bytes) and closes.
 *
 * @throws what the thread throws if it cannot listen.
 */
export async function startLoadServer(host: Host, address: Address, port: number, name: string): Promise<LoadServer> {
  const task = (shared: SharedArrayBuffer): LoadTask => ({ role: "server", shared, address, port, name });
  const { worker, shared } = startThread(host, task);
  const ended = new Promise<void>((resolve, reject) => {
    worker.once("exit", () => resolve());
    worker.once("error", reject);
  });
  ended.catch(() => {});
  await Promise.race([new Promise((resolve) => worker.once("message", resolve)), ended]);
  return {
    close() {
      Atomics.store(shared, control.stop, 1);
      return ended;
    },
  };
}

/** A thread belongs to the namespace in which it is made. */
function startThread(host: Host, task: (shared: SharedArrayBuffer) => LoadTask) {
  const buffer = new SharedArrayBuffer(4 * control.length);
  const workerData = task(buffer);
  const worker = host.run(() => new Worker(new URL("./loadthread.ts", import.meta.url), { workerData }));
  return { worker, shared: new Int32Array(buffer) };
}

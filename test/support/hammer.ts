/**
 * Threads that open connections as fast as they can, one after the other, and count what becomes of them; and threads
 * that accept them. They use blocking system calls, so that a connection costs little more than the kernel's own work.
 */
import { once } from "node:events";
import { createServer } from "node:net";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { SystemError } from "../../src/kernel/errno.ts";
import * as ffi from "../../src/kernel/ffi.ts";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { socketAddress } from "../../src/kernel/sockets/udp.ts";
import { parseAddress } from "../../src/net/address.ts";
import type { Host } from "./network.ts";

/** What became of connections. */
export interface HammerCounts {
  readonly connected: number;
  /** Of these, those that took longer than 0.9 s: a packet was lost and sent again after 1 s. */
  readonly slow: number;
  readonly failed: number;
  /** The errors of the failed ones, by name. */
  readonly errors: Readonly<Record<string, number>>;
}

/** A connection that takes longer has failed: the kernel sends a SYN again after 1, 3 and 7 s. */
const patienceSeconds = 5;
const slowMs = 900;
/** `SO_LINGER`: closing resets, so that neither side keeps the connection. */
const linger = 13;

type Role =
  | {
      readonly role: "client";
      readonly namespace: string;
      readonly to: string;
      readonly port: number;
      readonly most: number;
      readonly shared: SharedArrayBuffer;
    }
  | { readonly role: "server"; readonly namespace: string; readonly port: number };

/** Connects from a host to an address until it is stopped or has done enough. */
export class Hammer {
  readonly #shared = new SharedArrayBuffer(8);
  readonly #done: Promise<HammerCounts>;

  constructor(host: Host, to: string, port: number, most = Number.POSITIVE_INFINITY) {
    const role: Role = { role: "client", namespace: host.namespace, to, port, most, shared: this.#shared };
    this.#done = once(start(role), "message").then(([counts]) => counts as HammerCounts);
  }

  /** How many connections were tried so far. */
  get tried(): number {
    return Atomics.load(new Int32Array(this.#shared), 1);
  }

  /** Ends it. @returns what became of the connections. */
  async stop(): Promise<HammerCounts> {
    Atomics.store(new Int32Array(this.#shared), 0, 1);
    return this.#done;
  }

  /** Waits until it has done enough. */
  finished(): Promise<HammerCounts> {
    return this.#done;
  }
}

/** Accepts connections on a port of all addresses of a host, and drops them. @returns how to end it. */
export async function acceptAll(host: Host, port: number): Promise<() => Promise<unknown>> {
  const worker = start({ role: "server", namespace: host.namespace, port });
  await once(worker, "message");
  return () => worker.terminate();
}

function start(role: Role): Worker {
  return new Worker(import.meta.filename, { workerData: role });
}

function hammer({ to, port, most, shared }: Extract<Role, { role: "client" }>): HammerCounts {
  const state = new Int32Array(shared);
  const address = socketAddress(parseAddress(to), port);
  const family = to.includes(":") ? ffi.AF.inet6 : ffi.AF.inet;
  const timeout = new Uint8Array(new BigInt64Array([BigInt(patienceSeconds), 0n]).buffer);
  const reset = new Uint8Array(new Int32Array([1, 0]).buffer);
  const errors: Record<string, number> = {};
  const counts = { connected: 0, slow: 0, failed: 0, errors };
  for (let i = 0; i < most && Atomics.load(state, 0) === 0; i++) {
    const fd = ffi.socket(family, ffi.SOCK.stream | ffi.SOCK.cloexec, 0);
    ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.sndtimeo, timeout);
    ffi.setsockopt(fd, ffi.SOL.socket, linger, reset);
    const begin = performance.now();
    try {
      ffi.connect(fd, address);
      counts.connected++;
      if (performance.now() - begin > slowMs) counts.slow++;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      counts.failed++;
      errors[error.code] = (errors[error.code] ?? 0) + 1;
    }
    ffi.close(fd);
    Atomics.store(state, 1, i + 1);
  }
  return counts;
}

function serve(port: number): void {
  const server = createServer((connection) => {
    connection.on("error", () => {});
    connection.destroy();
  });
  server.listen({ host: "::", port, backlog: 4096 }, () => parentPort?.postMessage("listening"));
}

if (!isMainThread && (workerData as Partial<Role> | null)?.role !== undefined) {
  const role = workerData as Role;
  enterNamespace(role.namespace);
  if (role.role === "server") serve(role.port);
  else parentPort?.postMessage(hammer(role));
}

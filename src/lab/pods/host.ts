/** The containers that are served by a thread of ours, for they have an image and no command. */
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { ServedPlace } from "./server.ts";
import type { ServerExit, ServerRequest } from "./thread.ts";

/** What those who attach to a container see of it. */
export interface Console {
  /** Its input, where it has one. */
  readonly input?: Writable;
  /** True if its input ends with the first client that has attached to it. */
  readonly once: boolean;
  /** Tells `listener` what it says from now on. @returns what ends that. */
  listen(listener: (piece: Uint8Array, isError: boolean) => void): () => void;
  /** Tells its terminal, if it has one, how large it is. */
  resize?(columns: number, rows: number): void;
}

/** A container that runs. */
export interface RunningContainer {
  /** Absent for containers that a thread of ours serves. */
  readonly console?: Console;
  /** What its program, and those that are run beside it, have in their environment, and where they begin. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  /** Settles with the exit status once it has ended; never rejects. */
  readonly ended: Promise<number>;
  /** Asks it to end. */
  terminate(): void;
  /** Ends it at once. */
  kill(): void;
}

/** Serves containers in one thread, begun with the first of them: a server costs a few sockets, no process. */
export class ServerHost {
  /** Every container that runs now, served here or a program, by the file of its log. */
  readonly running = new Map<string, RunningContainer>();
  readonly #exits = new Map<number, (code: number) => void>();
  #worker: Worker | undefined;
  #last = 0;

  /** Starts the server of a container. */
  start(place: ServedPlace, logFile: string): RunningContainer {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#exits.set(id, resolve);
    this.#worker ??= this.#makeWorker();
    const worker = this.#worker;
    const ask = (request: ServerRequest) => worker.postMessage(request);
    ask({ type: "start", id, place, logFile });
    return {
      ended: promise,
      terminate: () => ask({ type: "terminate", id }),
      kill: () => ask({ type: "kill", id }),
    };
  }

  /** Ends the thread with all its servers. */
  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #makeWorker(): Worker {
    const worker = new Worker(fileURLToPath(new URL("./thread.ts", import.meta.url)));
    worker.on("message", ({ id, code }: ServerExit) => this.#exit(id, code));
    // A fault of the thread ends all its servers, as a crash of a container runtime would; the next has another thread.
    worker.on("error", () => {});
    worker.on("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const id of [...this.#exits.keys()]) this.#exit(id, 1);
    });
    return worker;
  }

  #exit(id: number, code: number): void {
    this.#exits.get(id)?.(code);
    this.#exits.delete(id);
  }
}

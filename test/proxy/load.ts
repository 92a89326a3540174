/**
 * Connections for tests of what must not break any, as a program: `load.ts serve PORT` echoes;
 * `load.ts load ADDRESS PORT PAUSE` keeps 100 connections talking, each with pauses of so many milliseconds, and opens new
 * ones all the time, with pauses of a tenth of that, until its input ends, then prints a {@link LoadReport}.
 */
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What became of the connections. */
export interface LoadReport {
  /** Exchanges on the long connections, and new connections that were answered. */
  readonly exchanges: number;
  readonly connections: number;
  /** Long connections that still answer. */
  readonly alive: number;
  /** What failed, each failure once with its number. */
  readonly failures: Readonly<Record<string, number>>;
  /** The longest time that anything took, in milliseconds. */
  readonly slowest: number;
}

const longConnections = 100;
/** New connections at a time. */
const workers = 4;
/** Milliseconds after which an answer counts as missing. */
const patience = Number(process.env.PATIENCE ?? 2) * 1000;

class Load {
  readonly #at: { readonly host: string; readonly port: number };
  readonly #pause: number;
  #exchanges = 0;
  #connections = 0;
  #slowest = 0;
  #over = false;
  readonly #failures: Record<string, number> = {};

  constructor(host: string, port: number, pause: number) {
    this.#at = { host, port };
    this.#pause = pause;
  }

  end(): void {
    this.#over = true;
  }

  async run(): Promise<LoadReport> {
    const long = await Promise.all(Array.from({ length: longConnections }, () => this.#long()));
    process.stdout.write("ready\n");
    const talking = long.map((socket) => this.#talk(socket));
    await Promise.all(Array.from({ length: workers }, () => this.#open()));
    const alive = (await Promise.all(talking)).filter(Boolean).length;
    return {
      exchanges: this.#exchanges,
      connections: this.#connections,
      alive,
      failures: this.#failures,
      slowest: Math.round(this.#slowest),
    };
  }

  async #long(): Promise<Socket> {
    const socket = connect(this.#at);
    await this.#exchange(socket, "long connection, first");
    return socket;
  }

  /** @returns whether it answers to the end. */
  async #talk(socket: Socket): Promise<boolean> {
    await sleep(Math.random() * this.#pause);
    while (!this.#over) {
      if (!(await this.#exchange(socket, "long connection"))) return false;
      this.#exchanges++;
      await sleep(this.#pause);
    }
    return true;
  }

  async #open(): Promise<void> {
    while (!this.#over) {
      const socket = connect(this.#at);
      if (await this.#exchange(socket, "new connection")) this.#connections++;
      socket.destroy();
      await sleep(this.#pause / 10);
    }
  }

  #exchange(socket: Socket, what: string): Promise<boolean> {
    const started = performance.now();
    return new Promise((resolve) => {
      const done = (failure?: string) => {
        clearTimeout(timer);
        socket.removeAllListeners();
        socket.on("error", () => {});
        this.#slowest = Math.max(this.#slowest, performance.now() - started);
        if (failure !== undefined) {
          this.#failures[`${what}: ${failure}`] = (this.#failures[`${what}: ${failure}`] ?? 0) + 1;
          socket.destroy();
        }
        resolve(failure === undefined);
      };
      const timer = setTimeout(() => done("no answer"), patience);
      socket.once("data", () => done());
      socket.once("end", () => done("ended"));
      socket.once("error", (error) => done("code" in error ? String(error.code) : error.message));
      socket.write("?");
    });
  }
}

const [task, ...args] = process.argv.slice(2);
if (import.meta.main && task === "serve") {
  createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  }).listen({ port: Number(args[0]), backlog: 1024 }, () => process.stdout.write("ready\n"));
} else if (import.meta.main) {
  const load = new Load(args[0] ?? "", Number(args[1]), Number(args[2]));
  process.stdin.on("end", () => load.end()).resume();
  process.stdout.write(`${JSON.stringify(await load.run())}\n`);
  process.exit();
}

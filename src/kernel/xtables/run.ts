/** Runs one of the xtables programs: no shell, no locale, input whole before it starts, output bounded or streamed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, writeSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { memfdCreate } from "../ffi.ts";

/** What to run a program with. */
export interface RunOptions {
  /**
   * Text for the standard input. The program starts when all of it is made: it holds the lock of all xtables programs
   * while it reads, and `iptables-legacy-restore -w 5` takes a wait for its input 5 s later for the input's end.
   */
  readonly input?: Iterable<string>;
  /** Takes the standard output piece by piece; without it the output is kept. */
  readonly onOutput?: (piece: string) => void;
  /** Ends the program. */
  readonly signal?: AbortSignal;
}

/** How a program ended. */
export interface RunResult {
  /** The exit status; -1 where a signal ended it. */
  readonly status: number;
  /** At most 1 MiB; empty where `onOutput` took it. */
  readonly output: string;
  /** At most 64 KiB. */
  readonly errors: string;
}

/** Input is written in pieces of about this many characters. */
const pieceLength = 65_536;
/** Milliseconds that making input may keep the event loop. */
const slice = 10;
const outputLimit = 1 << 20;
const errorsLimit = 65_536;

/**
 * Runs a program of the search path (with the administrator's folders added) until it ends.
 *
 * @throws an `Error` with code `ENOENT` where there is no such program; whatever `input` or `onOutput` throws; the
 *   signal's reason once it is aborted.
 */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const input = options.input && (await inMemory(options.input, options.signal));
  const child = spawn(program, args, {
    stdio: [input ?? "ignore", "pipe", "pipe"],
    env: {
      PATH: `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`,
      LC_ALL: "C",
      // Programs that share a lock in another place than the usual one say so here.
      ...(process.env.XTABLES_LOCKFILE !== undefined && { XTABLES_LOCKFILE: process.env.XTABLES_LOCKFILE }),
    },
  });
  if (input !== undefined) closeSync(input);
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  ended.catch(() => {});
  const kill = () => child.kill();
  options.signal?.addEventListener("abort", kill, { once: true });
  let output = "";
  let errors = "";
  let failure: unknown;
  child.stdout?.setEncoding("utf8").on("data", (piece: string) => {
    if (options.onOutput === undefined) {
      if (output.length < outputLimit) output += piece;
      return;
    }
    try {
      options.onOutput(piece);
    } catch (error) {
      failure ??= error;
      child.stdout?.destroy();
      child.kill();
    }
  });
  child.stderr?.setEncoding("utf8").on("data", (piece: string) => {
    if (errors.length < errorsLimit) errors += piece;
  });
  try {
    const [status] = await ended;
    if (failure !== undefined) throw failure;
    options.signal?.throwIfAborted();
    return { status: status ?? -1, output, errors };
  } finally {
    options.signal?.removeEventListener("abort", kill);
  }
}

/**
 * Writes texts into a file in memory, in pieces, and lets the event loop turn before each and whenever making texts takes
 * long. @returns the file's descriptor, which reads from its beginning.
 */
async function inMemory(texts: Iterable<string>, signal: AbortSignal | undefined): Promise<number> {
  const fd = memfdCreate("portolan-input");
  let position = 0;
  let piece = "";
  const write = () => {
    // With a position the descriptor itself stays at the file's beginning.
    for (let bytes = Buffer.from(piece); bytes.length > 0; ) {
      const written = writeSync(fd, bytes, 0, bytes.length, position);
      position += written;
      bytes = bytes.subarray(written);
    }
    piece = "";
  };
  try {
    let start = performance.now();
    for (const text of texts) {
      piece += text;
      if (piece.length >= pieceLength) write();
      else if (performance.now() - start < slice) continue;
      await nextTurn(undefined, signal && { signal });
      start = performance.now();
    }
    write();
    return fd;
  } catch (error) {
    closeSync(fd);
    signal?.throwIfAborted();
    throw error;
  }
}

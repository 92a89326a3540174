/** Runs one of the xtables programs: no shell, no locale, input streamed, output bounded or streamed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";

/** What to run a program with. */
export interface RunOptions {
  /** Text for the standard input, written as fast as the program reads it. */
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

/** Input is handed over in pieces of about this many characters. */
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
  const child = spawn(program, args, {
    stdio: "pipe",
    env: {
      PATH: `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`,
      LC_ALL: "C",
      // Programs that share a lock in another place than the usual one say so here.
      ...(process.env.XTABLES_LOCKFILE !== undefined && { XTABLES_LOCKFILE: process.env.XTABLES_LOCKFILE }),
    },
  });
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  ended.catch(() => {});
  const kill = () => child.kill();
  options.signal?.addEventListener("abort", kill, { once: true });
  let output = "";
  let errors = "";
  let failure: unknown;
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    if (options.onOutput === undefined) {
      if (output.length < outputLimit) output += piece;
      return;
    }
    try {
      options.onOutput(piece);
    } catch (error) {
      failure ??= error;
      child.stdout.destroy();
      child.kill();
    }
  });
  child.stderr.setEncoding("utf8").on("data", (piece: string) => {
    if (errors.length < errorsLimit) errors += piece;
  });
  try {
    await pipeline(pieces(options.input ?? []), child.stdin);
  } catch (error) {
    // A program that refuses its input closes it early; its exit status and words tell why.
    if (!isClosed(error)) {
      failure ??= error;
      child.kill();
    }
  }
  try {
    const [status] = await ended;
    if (failure !== undefined) throw failure;
    options.signal?.throwIfAborted();
    return { status: status ?? -1, output, errors };
  } finally {
    options.signal?.removeEventListener("abort", kill);
  }
}

/** Gathers small texts, and lets the event loop turn before each piece and whenever making texts takes long. */
async function* pieces(input: Iterable<string>): AsyncGenerator<string, undefined> {
  let piece = "";
  let start = performance.now();
  for (const text of input) {
    piece += text;
    if (piece.length >= pieceLength) {
      yield piece;
      piece = "";
    } else if (performance.now() - start < slice) {
      continue;
    }
    await nextTurn();
    start = performance.now();
  }
  if (piece !== "") yield piece;
}

function isClosed(error: unknown): boolean {
  const codes = ["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"];
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

/** Runs one of the xtables programs: no shell, no locale, input streamed, output bounded or streamed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
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

/** Input is handed over in pieces of about this many characters, with a turn of the event loop between two. */
const pieceLength = 65_536;
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
    env: { PATH: `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`, LC_ALL: "C" },
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
  // A program that refuses its input closes it early; its exit status and words tell why.
  child.stdin.on("error", () => {});
  try {
    await write(child.stdin, options.input ?? []);
  } catch (error) {
    failure ??= error;
    child.kill();
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

async function write(stream: NodeJS.WritableStream & { readonly writable: boolean }, input: Iterable<string>) {
  let piece = "";
  for (const text of input) {
    piece += text;
    if (piece.length < pieceLength) continue;
    await hand(stream, piece);
    piece = "";
    if (!stream.writable) return;
  }
  if (piece !== "") await hand(stream, piece);
  stream.end();
}

async function hand(stream: NodeJS.WritableStream & { readonly writable: boolean }, piece: string): Promise<void> {
  const full = !stream.write(piece);
  if (full && stream.writable) await Promise.race([once(stream, "drain"), once(stream, "close")]).catch(() => {});
  await nextTurn();
}

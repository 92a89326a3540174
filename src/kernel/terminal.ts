/** Pseudo terminals (pts(4), ioctl_tty(2)): what a program takes for a terminal, with our end of it. */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { type Duplex, PassThrough, type Readable } from "node:stream";
import { ReadStream } from "node:tty";
import * as ffi from "./ffi.ts";
import { type Disguise, spawnInside } from "./programs.ts";

const request = { unlock: 0x4004_5431, number: 0x8004_5430, setSize: 0x5414 } as const;
const noControl = 0x100;
/** Milliseconds in which the last output of a program that has ended is there. */
const lastWords = 200;

/** A program on a terminal of its own. */
export interface TerminalProgram {
  readonly child: ChildProcess;
  /** What is typed. */
  readonly input: Duplex;
  /** What is shown. It ends after the program. */
  readonly output: Readable;
  resize(columns: number, rows: number): void;
}

/** Becomes the program, with the terminal that is named as its standard streams, and as what controls it. */
const takeTerminal = 'exec "$@" <"$0" >"$0" 2>&1';

/**
 * Starts a program on a new terminal, in a namespace as {@link spawnInside} does.
 *
 * @throws {SystemError} if there are no terminals left, and as {@link spawnInside}.
 */
export function spawnOnTerminal(
  namespace: string,
  argv: readonly string[],
  options: Omit<SpawnOptions, "stdio" | "detached">,
  as?: Disguise,
): TerminalProgram {
  const fd = ffi.open("/dev/ptmx", ffi.O.rdwr | noControl | ffi.O.cloexec);
  let input: ReadStream | undefined;
  try {
    ffi.ioctl(fd, request.unlock, new Uint8Array(4));
    const number = new Uint8Array(4);
    ffi.ioctl(fd, request.number, number);
    const path = `/dev/pts/${new DataView(number.buffer).getUint32(0, true)}`;
    input = new ReadStream(fd);
    const onIt = ["/bin/sh", "-c", takeTerminal, path, ...argv];
    const child = spawnInside(namespace, onIt, { ...options, stdio: "ignore", detached: true }, as);
    return connected(child, fd, input);
  } catch (error) {
    if (input === undefined) ffi.close(fd);
    else input.destroy();
    throw error;
  }
}

function connected(child: ChildProcess, fd: number, input: ReadStream): TerminalProgram {
  const output = new PassThrough();
  // When nobody has the terminal open any more, reading from it fails.
  input.on("error", () => output.end());
  input.on("close", () => output.end());
  input.pipe(output);
  child.on("exit", () => setTimeout(() => input.destroy(), lastWords));
  child.on("error", () => input.destroy());
  return {
    child,
    input,
    output,
    resize(columns, rows) {
      if (input.destroyed) return;
      // struct winsize
      const size = new DataView(new ArrayBuffer(8));
      size.setUint16(0, rows, true);
      size.setUint16(2, columns, true);
      ffi.ioctl(fd, request.setSize, new Uint8Array(size.buffer));
    },
  };
}

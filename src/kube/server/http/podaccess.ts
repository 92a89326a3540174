/** What only the nodes can give: the logs of containers, programs run in pods, connections to them. */
import type { Duplex, Readable, Writable } from "node:stream";
import type { ApiObject } from "../json.ts";

/** Whose log is wanted. */
export interface LogRequest {
  readonly pod: ApiObject;
  readonly container: string;
  /** True to go on with what is added, until the container ends. */
  readonly follow: boolean;
  /** True for the log of the container before it was last started. */
  readonly previous: boolean;
  /** True to have the time before each line (RFC 3339). */
  readonly timestamps: boolean;
  /** Milliseconds since the epoch: lines of before are left out; 0 for all. */
  readonly since: number;
}

/** What is to be run, and where. */
export interface ExecRequest {
  readonly pod: ApiObject;
  readonly container: string;
  readonly command: readonly string[];
  /** True if the program gets a terminal. */
  readonly tty: boolean;
}

/** Whose container is to be attached to. */
export interface AttachRequest {
  readonly pod: ApiObject;
  readonly container: string;
  /** True if the client has input for it. */
  readonly stdin: boolean;
}

/** A program that runs in a pod. */
export interface PodProcess {
  /** Absent where it takes no input. */
  readonly stdin?: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Its exit status, once it has ended and all its output is there. */
  readonly exit: Promise<number>;
  /** Whoever asked for it is gone: ends it, or lets go of it where it was there before. */
  kill(): void;
  /** Tells its terminal, if it has one, how large it is. */
  resize?(columns: number, rows: number): void;
}

/** The way to the pods of a cluster. */
export interface PodAccess {
  /** The log: first what there is, in one piece, then what is added. Throws an Error with a sentence if there is none. */
  logs(request: LogRequest, signal: AbortSignal): AsyncIterable<string>;
  /** Runs a program. Throws an Error with a sentence if that cannot be done. */
  exec(request: ExecRequest): PodProcess;
  /**
   * What a container says from now on, and its input where it takes any. It ends with status 0 when the container does.
   * Throws an Error with a sentence if it does not run.
   */
  attach(request: AttachRequest): PodProcess;
  /** Connects to a port of a pod, as a program in it would. Rejects with an Error with a sentence if that fails. */
  connect(pod: ApiObject, port: number): Promise<Duplex>;
}

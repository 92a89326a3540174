/** Starts containers: programs of this machine, or the server that stands in for an image. */
import type { ChildProcess } from "node:child_process";
import { EventEmitter } from "node:events";
import { existsSync, renameSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { type Disguise, signalProcess, spawnInside } from "../../kernel/programs.ts";
import { spawnOnTerminal } from "../../kernel/terminal.ts";
import { serverSettings } from "../pods/answer.ts";
import type { Console, RunningContainer, ServerHost } from "../pods/host.ts";
import { BoundedLog } from "../pods/log.ts";
import type { Sandbox } from "./actions.ts";
import { expand } from "./environment.ts";
import type { Pod, PodContainer } from "./pod.ts";

/** Exit status of what could not be started, as shells have it. */
const notStarted = 127;
/** Milliseconds that the output of a program is waited for which has ended: something else may hold on to it. */
const lastWords = 500;
/** Added to a signal's number, as shells do. */
const signalBase = 128;
const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** The log file of a container. */
export function logFile({ folder }: Pick<Sandbox, "folder">, container: string): string {
  return `${folder}/${container}.log`;
}

/** The log file of a container as it was before it was last started. */
export function previousLogFile({ folder }: Pick<Sandbox, "folder">, container: string): string {
  return `${folder}/${container}.previous.log`;
}

/**
 * Starts a container of a pod, in an environment that is complete. That it cannot be started comes as its end, with the
 * reason in its log.
 */
export function startContainer(
  pod: Pod,
  node: string,
  container: PodContainer,
  sandbox: Sandbox,
  servers: ServerHost,
): RunningContainer {
  const { environment: env } = sandbox;
  const file = logFile(sandbox, container.name);
  if (existsSync(file)) renameSync(file, previousLogFile(sandbox, container.name));
  const { workingDir } = container;
  const running = { ...begin(pod, node, container, sandbox, servers, file), environment: env, workingDir };
  servers.running.set(file, running);
  void running.ended.then(() => {
    if (servers.running.get(file) === running) servers.running.delete(file);
  });
  return running;
}

function begin(
  pod: Pod,
  node: string,
  container: PodContainer,
  sandbox: Sandbox,
  servers: ServerHost,
  file: string,
): RunningContainer {
  const { environment: env } = sandbox;
  const args = container.args.map((text) => expand(text, env));
  // A server has no use for an input: with one, the arguments are the program, as for images that name none themselves.
  if (container.command.length === 0 && !(container.stdin && args.length > 0)) {
    const identity = { pod: pod.name, namespace: pod.namespace, node, container: container.name };
    const settings = serverSettings({ args, env, ports: container.ports });
    return servers.start({ namespace: sandbox.namespace, identity, settings }, file);
  }
  const command = container.command.map((text) => expand(text, env));
  return startProgram([...command, ...args], container, sandbox, new BoundedLog(file));
}

function startProgram(
  argv: readonly string[],
  { workingDir: cwd, stdin, stdinOnce: once, tty }: PodContainer,
  { namespace, disguise, environment: env }: Sandbox,
  log: BoundedLog,
): RunningContainer {
  const { child, outputs, ...terminal } = tty
    ? onTerminal(namespace, argv, { cwd, env: { TERM: "xterm", ...env } }, disguise)
    : onPipes(namespace, argv, { cwd, env }, stdin, disguise);
  const says = new EventEmitter();
  for (const [i, stream] of outputs.entries())
    stream?.on("data", (piece: Uint8Array) => {
      log.append(piece);
      says.emit("piece", piece, i === 1);
    });
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  child.on("error", (error) => {
    log.line(`cannot be started: ${existsSync(cwd) ? error.message : `its working directory ${cwd} is not there`}`);
    resolve(notStarted);
  });
  const send = (signal: NodeJS.Signals) => child.pid !== undefined && signalProcess(-child.pid, signal);
  child.on("exit", (code, signal) => {
    // What a program leaves behind in its group goes with it; what it said last is still on its way.
    send("SIGKILL");
    const end = () => resolve(code ?? signalBase + (signalNumbers[signal ?? ""] ?? 0));
    child.once("close", end);
    setTimeout(end, lastWords);
  });
  const { input, resize } = terminal;
  const console: Console = {
    once,
    ...(stdin && input !== undefined && { input }),
    ...(resize !== undefined && { resize }),
    listen(listener) {
      says.on("piece", listener);
      return () => void says.off("piece", listener);
    },
  };
  return { ended, console, terminate: () => void send("SIGTERM"), kill: () => void send("SIGKILL") };
}

/** A program that was started, with what it says and, if it listens, its input. */
interface Started {
  readonly child: ChildProcess;
  readonly outputs: readonly (Readable | null)[];
  readonly input?: Writable;
  readonly resize?: (columns: number, rows: number) => void;
}

type Surroundings = { readonly cwd: string; readonly env: Readonly<Record<string, string>> };

function onPipes(
  namespace: string,
  argv: readonly string[],
  options: Surroundings,
  stdin: boolean,
  disguise: Disguise,
): Started {
  const stdio: ("pipe" | "ignore")[] = [stdin ? "pipe" : "ignore", "pipe", "pipe"];
  const child = spawnInside(namespace, argv, { ...options, detached: true, stdio }, disguise);
  // That it does not read is its own affair.
  child.stdin?.on("error", () => {});
  return { child, outputs: [child.stdout, child.stderr], ...(child.stdin !== null && { input: child.stdin }) };
}

function onTerminal(namespace: string, argv: readonly string[], options: Surroundings, disguise: Disguise): Started {
  const { child, input, output, resize } = spawnOnTerminal(namespace, argv, options, disguise);
  return { child, outputs: [output], input, resize };
}

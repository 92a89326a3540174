/** Logs of a lab's pods, programs run in them, and connections to them, as kubectl wants them. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { signalProcess, spawnInside } from "../kernel/programs.ts";
import { connectInside } from "../kernel/sockets/tcp.ts";
import { spawnOnTerminal } from "../kernel/terminal.ts";
import { isFields } from "../kube/objects/fields.ts";
import type { PodAccess, PodProcess } from "../kube/server/http/podaccess.ts";
import type { ApiObject } from "../kube/server/json.ts";
import { parseAddress } from "../net/address.ts";
import { readGrowing } from "./follow.ts";
import { logFile, previousLogFile } from "./kubelet/start.ts";
import { findPlace, type Place, programEnvironment } from "./places.ts";
import type { Console, RunningContainer, ServerHost } from "./pods/host.ts";
import { readLog } from "./pods/log.ts";
import type { LabFolder } from "./state.ts";

/** The way to the pods of a lab. */
export function podAccess(folder: LabFolder, lab: string, { running }: ServerHost): PodAccess {
  const placeOf = ({ metadata: { name, namespace = "default" }, spec }: ApiObject): PodFiles => {
    const own = join(folder.pods, `${namespace}.${name}`);
    if (!existsSync(own)) throw new Error(`pod ${name} does not run`);
    const node = isFields(spec) && spec.hostNetwork === true ? String(spec.nodeName) : undefined;
    const { namespace: inside, disguise } = findPlace(folder, lab, node ?? `${namespace}/${name}`, namespace);
    return { inside, disguise, folder: own };
  };
  return {
    logs({ pod, container, follow, previous, ...view }, signal) {
      const file = (previous ? previousLogFile : logFile)(placeOf(pod), container);
      if (previous && !existsSync(file)) {
        const { name } = pod.metadata;
        throw new Error(
          `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`,
        );
      }
      const ended = previous ? undefined : running.get(file)?.ended;
      if (!existsSync(file)) return nothing();
      return readLog(readGrowing(file, follow && ended !== undefined, signal, ended), view);
    },
    exec({ pod, container, command, tty }) {
      const place = placeOf(pod);
      const { inside, disguise } = place;
      const { environment: env = programEnvironment(), workingDir } = running.get(logFile(place, container)) ?? {};
      const cwd = workingDir !== undefined && existsSync(workingDir) ? workingDir : "/";
      if (tty) {
        const options = { env: { ...env, TERM: "xterm" }, cwd };
        const { child, input, output, resize } = spawnOnTerminal(inside, command, options, disguise);
        const none = Readable.from([]);
        return { stdin: input, stdout: output, stderr: none, resize, ...endOf(child, "exit") };
      }
      const options = {
        detached: true,
        stdio: ["pipe", "pipe", "pipe"] as ("pipe" | "ignore")[],
        env,
        cwd,
      };
      const child = spawnInside(inside, command, options, disguise);
      const { stdin, stdout, stderr } = child;
      if (stdin === null || stdout === null || stderr === null) throw new Error("the program has no pipes");
      return { stdin, stdout, stderr, ...endOf(child, "close") };
    },
    attach({ pod, container, stdin }) {
      const file = logFile(placeOf(pod), container);
      const found = running.get(file);
      if (found === undefined) throw new Error(`container ${container} does not run`);
      return found.console === undefined ? attachedToLog(file, found) : attachedTo(found, found.console, stdin);
    },
    async connect(pod, port) {
      const socket = connectInside(placeOf(pod).inside, loopback, port);
      // For whoever takes it: an error that nobody has listened to yet must not end the lab.
      socket.on("error", () => undefined);
      await once(socket, "connect");
      return socket;
    },
  };
}

/** Bytes that wait for a client that attached; what comes on top is lost to it, for nobody waits for a client to read. */
const patience = 1 << 20;
/** Milliseconds in which the last output of a program that has ended is there. */
const lastWords = 100;

function attachedTo({ ended }: RunningContainer, console: Console, wantsInput: boolean): PodProcess {
  const { promise: exit, resolve } = Promise.withResolvers<number>();
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const leave = console.listen((piece, isError) => {
    const stream = isError ? stderr : stdout;
    if (stream.writableLength < patience) stream.write(piece);
  });
  const stdin = wantsInput && console.input !== undefined ? new PassThrough() : undefined;
  if (console.input !== undefined) stdin?.pipe(console.input, { end: console.once });
  const kill = () => {
    leave();
    for (const stream of [stdin, stdout, stderr]) stream?.end();
    resolve(0);
  };
  // What it said at its end comes in the next moments.
  void ended.then(() => sleep(lastWords)).then(kill);
  const { resize } = console;
  return { stdout, stderr, exit, kill, ...(stdin !== undefined && { stdin }), ...(resize !== undefined && { resize }) };
}

/** What a container of ours that is no program says from now on: what comes into its log. */
function attachedToLog(file: string, { ended }: RunningContainer): PodProcess {
  const { promise: exit, resolve } = Promise.withResolvers<number>();
  const gone = new AbortController();
  const stdout = Readable.from(afterFirst(readLog(readGrowing(file, true, gone.signal, ended), {})));
  const kill = () => {
    gone.abort();
    resolve(0);
  };
  void ended.then(() => resolve(0));
  return { stdout, stderr: Readable.from([]), exit, kill };
}

async function* afterFirst(texts: AsyncIterable<string>): AsyncIterable<string> {
  let isFirst = true;
  for await (const text of texts) {
    if (!isFirst && text !== "") yield text;
    isFirst = false;
  }
}

const loopback = parseAddress("127.0.0.1");

/** How a program ends: by itself, when its streams are over (`close`) or before, or killed with all that it started. */
function endOf(child: ChildProcess, event: "exit" | "close"): Pick<PodProcess, "exit" | "kill"> {
  const exit = new Promise<number>((resolve) => {
    child.on("error", () => resolve(127));
    child.on(event, (code) => resolve(code ?? 137));
  });
  return { exit, kill: () => void (child.pid !== undefined && signalProcess(-child.pid, "SIGKILL")) };
}

/** Where a pod is, and what it has on disk. */
interface PodFiles extends Pick<Place, "disguise"> {
  readonly inside: string;
  readonly folder: string;
}

async function* nothing(): AsyncIterable<string> {
  yield "";
}

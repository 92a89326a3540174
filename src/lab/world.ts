/**
 * Labs of users who are not root. Such a lab has a world of its own (kernel/rootless.ts), with namespaces named as
 * anywhere. The supervisor and the commands that look into namespaces run in it, and there they are root: nothing but
 * this file knows the difference. All else (files, processes, the API server's port) is the machine's.
 */
import { existsSync } from "node:fs";
import { isSystemError } from "../kernel/errno.ts";
import { namespacePath } from "../kernel/namespace.ts";
import { signalProcess } from "../kernel/programs.ts";
import {
  mayAdministerNetworks,
  processesOfWorlds,
  restartInNewWorld,
  restartInWorldOf,
  whyNoWorld,
} from "../kernel/rootless.ts";
import { bindForSuccessor, keepFromPrograms } from "../kernel/sockets/tcp.ts";
import { parseAddress } from "../net/address.ts";
import { sweep } from "./network/machines.ts";
import { LabFolder, listLabs, stateHome } from "./state.ts";

/** The environment variable that names the file descriptor of the lab's port on the machine. */
const portVariable = "PORTOLAN_LAB_PORT_FD";
const loopback = parseAddress("127.0.0.1");

/**
 * Has this program go on, from its beginning, in the world of a lab, unless it needs none or is there already.
 *
 * @param make makes a world for a lab that does not run; without it the program goes on where it is.
 * @throws an Error with the remedy where this user can have no world.
 */
export function enterWorld(name: string, make: boolean): void {
  if (mayAdministerNetworks()) return;
  const folder = new LabFolder(name);
  const supervisor = folder.supervisor();
  if (supervisor !== undefined) restartInWorldOf(supervisor, environment());
  if (!make) return;
  const why = whyNoWorld();
  if (why !== undefined) {
    throw new Error(`a lab makes network namespaces, for which one is root or has user namespaces: ${why}`);
  }
  endWorld(folder);
  folder.make();
  // A world has a network of its own: the way in is a socket of the machine's.
  const port = bindPort(folder.read()?.apiPort ?? 0);
  restartInNewWorld(folder.path, { ...environment(), [portVariable]: String(port) });
}

/** Has this program go on in the world of the lab that has a network namespace of this name, if there is one. */
export function enterWorldWith(namespace: string): void {
  if (mayAdministerNetworks()) return;
  for (const name of listLabs()) {
    const supervisor = new LabFolder(name).supervisor();
    if (supervisor === undefined || !existsSync(`/proc/${supervisor}/root${namespacePath(namespace)}`)) continue;
    restartInWorldOf(supervisor, environment());
  }
}

/** Removes what a crash of a lab's supervisor left in the kernel. */
export function sweepLab(name: string): void {
  if (mayAdministerNetworks()) sweep(name);
  else endWorld(new LabFolder(name));
}

/** The file descriptor of the lab's port on the machine, where that is not this network's; no program inherits it. */
export function takePort(): number | undefined {
  const { [portVariable]: text } = process.env;
  if (text === undefined) return undefined;
  delete process.env[portVariable];
  const fd = Number(text);
  keepFromPrograms(fd);
  return fd;
}

/** What gives a program that this one starts the lab's port: its environment, and its open files from the fourth on. */
export function handPort(fd: number | undefined): {
  readonly env: NodeJS.ProcessEnv;
  readonly files: readonly number[];
} {
  return fd === undefined
    ? { env: process.env, files: [] }
    : { env: { ...process.env, [portVariable]: "3" }, files: [fd] };
}

/** Ends what runs in the machines of a lab; its namespaces go with it. */
function endWorld({ path }: LabFolder): void {
  for (const pid of processesOfWorlds(path)) signalProcess(pid, "SIGKILL");
}

function bindPort(wanted: number): number {
  try {
    return bindForSuccessor(loopback, wanted);
  } catch (error) {
    // The port that it had before belongs to somebody else now.
    if (isSystemError(error, "EADDRINUSE")) return bindForSuccessor(loopback, 0);
    throw error;
  }
}

/** In a world one is root, but files are where the user has them. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, XDG_STATE_HOME: stateHome() };
}

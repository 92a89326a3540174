/** Programs run inside network namespaces, with files and a host name of their own where they are a machine's. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { isSystemError } from "./errno.ts";
import { inNamespace, listNamespaces, namespaceId } from "./namespace.ts";

/** What a program sees in place of the machine's own. */
export interface Disguise {
  readonly hostname: string;
  /** Files that stand in the place of others: the others' paths are the keys. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Gives its process a host name, and puts files over others; then becomes the program. Only the machine's root may write
 * the file of the name; hostname(1), which not every machine has, makes the system call.
 */
const disguise = `
hostname "$1" 2> /dev/null || printf %s "$1" > /proc/sys/kernel/hostname
shift
while [ "$1" != -- ]; do mount --bind "$2" "$1" || exit 125; shift 2; done
shift
exec "$@"`;

/**
 * Starts a program in a namespace. With a disguise it gets mount and UTS namespaces of its own too.
 *
 * @throws an error if there is no such namespace. That there is no such program comes as the child's event `error`,
 *   and in a disguise as exit status 127.
 */
export function spawnInside(
  namespace: string,
  argv: readonly string[],
  options: SpawnOptions,
  as?: Disguise,
): ChildProcess {
  const [program = "", ...args] = as === undefined ? argv : disguised(argv, as);
  return inNamespace(namespace, () => spawn(program, args, options));
}

function disguised(argv: readonly string[], { hostname, files }: Disguise): readonly string[] {
  const mounts = Object.entries(files).flat();
  return ["unshare", "--mount", "--uts", "--", "/bin/sh", "-c", disguise, "sh", hostname, ...mounts, "--", ...argv];
}

/** How a short program ended. */
export interface Outcome {
  /** The exit status; -1 where a signal ended it. */
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/**
 * Runs a program in a namespace and waits for it, ten seconds at most: for those that are done at once.
 *
 * @throws an Error that names the program where it cannot be started.
 */
export function runInside(namespace: string, argv: readonly string[], input = ""): Outcome {
  const [program = "", ...args] = argv;
  const env = { PATH: `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`, LC_ALL: "C" };
  const { status, stdout, stderr, error } = inNamespace(namespace, () =>
    spawnSync(program, args, { input, env, encoding: "utf8", timeout: 10_000, maxBuffer: 16 << 20 }),
  );
  if (error !== undefined) throw new Error(`${program} cannot be run: ${error.message}`);
  return { status: status ?? -1, output: stdout, errors: stderr };
}

/** The ids of all processes that are in one of these named namespaces, sorted. */
export function processesInside(namespaces: readonly string[]): readonly number[] {
  const existing = new Set(listNamespaces());
  const wanted = new Set(namespaces.filter((name) => existing.has(name)).map((name) => namespaceId(name)));
  if (wanted.size === 0) return [];
  return processIds().filter((pid) => wanted.has(namespaceOf(pid)));
}

/** The ids of all processes that /proc shows, sorted. */
export function processIds(): readonly number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .sort((a, b) => a - b);
}

/** The command line of a process; empty if it is gone. */
export function commandOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** The identity of a process's network namespace; empty if it is gone, or too private to be one of ours. */
function namespaceOf(pid: number): string {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/ns/net`);
    return `${dev}:${ino}`;
  } catch {
    return "";
  }
}

/**
 * When a process began, in the kernel's ticks since the machine did: with its id, an identity that no other process
 * has until the next boot. Undefined if there is no such process, or only its remains.
 */
export function processStart(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (isSystemError(error, "ENOENT") || isSystemError(error, "ESRCH")) return undefined;
    throw error;
  }
  // The name, in parentheses, may have blanks and parentheses itself.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return state === "Z" ? undefined : rest[18];
}

/** Sends a signal to a process, or with a negative id to a group. @returns false if there is none. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (isSystemError(error, "ESRCH")) return false;
    throw error;
  }
}

/**
 * Root where there is none. In a user namespace an ordinary user may do to networks and mounts of its own what root may
 * do to the machine's (user_namespaces(7)). We call such a place a world: a user, a mount and a network namespace. It
 * lives for as long as a process is in it.
 *
 * A process of several threads, as Node is, cannot enter a user namespace (setns(2)): it becomes another program,
 * unshare(1) or nsenter(1), which becomes Node again, with the same arguments and open files.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { delimiter } from "node:path";
import { processIds } from "./programs.ts";
import { readSysctl } from "./sysctl.ts";

/** Bits of the capabilities that network namespaces and their mounts need (linux/capability.h). */
const needed = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };

/** Whether this process may make and administer network namespaces: as root, or in a world. */
export function mayAdministerNetworks(): boolean {
  if (process.platform !== "linux") return false;
  const [, effective = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Object.values(needed).every((bit) => ((BigInt(`0x${effective}`) >> bit) & 1n) === 1n);
}

/** Within a world: its mark, and its first network namespace. */
const markFile = "/run/portolan-world";

/**
 * Furnishes a world. /run is a file system of its own, with what the machine has there, but for what must be writable:
 * `netns`, the names of network namespaces, and the locks of iptables and mount. Then becomes the program.
 */
const furnish = `
set -e
mount -n -t tmpfs -o mode=755 tmpfs "$1"
printf '%s\\n%s\\n' "$1" "$(readlink /proc/self/ns/net)" > "$1/portolan-world"
mkdir "$1/.machine" "$1/netns"
mount -n --rbind /run "$1/.machine"
for path in /run/*; do
  case \${path#/run/} in netns | xtables.lock | mount | portolan-world) ;; *) ln -s "/run/.machine/\${path#/run/}" "$1" ;; esac
done
mount -n --move "$1" /run
ip link set lo up
shift
exec "$@"`;

const newNamespaces = ["--user", "--map-root-user", "--mount", "--net"];

/** Why this user can have no world, with the remedy; undefined if a world can be made. */
export function whyNoWorld(): string | undefined {
  if (process.platform !== "linux") return `that is for Linux, and this system is ${process.platform}`;
  const { status, stderr, error } = spawnSync("unshare", [...newNamespaces, "true"], { encoding: "utf8" });
  return status === 0 ? undefined : `${error?.message ?? stderr.trim()}: ${remedy(readSysctl)}`;
}

/**
 * Starts this program anew in a new world. Open files without close-on-exec go with it.
 *
 * @param mark a folder, by whose path the processes of the world are found.
 * @param env the program's environment.
 */
export function restartInNewWorld(mark: string, env: NodeJS.ProcessEnv): never {
  become(["unshare", ...newNamespaces, "--propagation", "slave", "/bin/sh", "-c", furnish, "sh", mark], env);
}

/** Starts this program anew in the world of a process. @param env its environment. */
export function restartInWorldOf(pid: number, env: NodeJS.ProcessEnv): never {
  const enter = ["nsenter", "--target", String(pid), "--user", "--preserve-credentials", "--mount", "--net"];
  // Another mount namespace has another root, where we begin.
  become([...enter, "/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", process.cwd()], env);
}

function become(prefix: readonly string[], env: NodeJS.ProcessEnv): never {
  if (process.execve === undefined) throw new Error("this needs a Node that has process.execve");
  const argv = ["env", ...prefix, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const path = [process.env.PATH ?? "/usr/bin:/bin", "/usr/sbin", "/sbin"].join(delimiter);
  return process.execve("/usr/bin/env", argv, { ...env, PATH: path });
}

/** The ids of the processes of worlds that bear a mark, but for those in a world's first network namespace. */
export function processesOfWorlds(mark: string): readonly number[] {
  return processIds().filter((pid) => {
    try {
      const [found, first] = readFileSync(`/proc/${pid}/root${markFile}`, "utf8").split("\n");
      return found === mark && readlinkSync(`/proc/${pid}/ns/net`) !== first;
    } catch {
      // It is gone, somebody else's, or of no world.
      return false;
    }
  });
}

/**
 * What may help where this user cannot have user namespaces. Pure.
 *
 * @param setting reads a sysctl, undefined where this kernel does not have it.
 */
export function remedy(setting: (name: string) => string | undefined): string {
  const set = (name: string, value: number) => `sudo sysctl -w ${name.replaceAll("/", ".")}=${value}`;
  const none = ["user", "net", "mnt"]
    .map((kind) => `user/max_${kind}_namespaces`)
    .find((name) => setting(name) === "0");
  if (none !== undefined) return `this machine allows none: ${set(none, 10_000)}`;
  for (const [name, forbidding, allowing] of [
    ["kernel/unprivileged_userns_clone", "0", 1],
    ["kernel/apparmor_restrict_unprivileged_userns", "1", 0],
  ] as const) {
    if (setting(name) === forbidding) return `this machine keeps them for root: ${set(name, allowing)}`;
  }
  return "a container may have to be started with other security options (seccomp, AppArmor), or with CAP_SYS_ADMIN and CAP_NET_ADMIN";
}

/**
 * Named network namespaces, kept as `ip netns` keeps them: each is a file in /run/netns on which the namespace is
 * mounted, so that it lives without a process in it.
 *
 * What belongs to a namespace: sockets made in it (they stay there for good), programs started and threads made from a
 * thread that is in it, and /proc/sys/net as read by such a thread. The pool of threads behind asynchronous `node:fs`
 * and `dns.lookup` stays where it was made: use synchronous calls for files of a namespace.
 */
import { closeSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync } from "node:fs";
import { isSystemError } from "./errno.ts";
import * as ffi from "./ffi.ts";

/** Where named namespaces are mounted. */
const folder = "/run/netns";
const ownNamespace = "/proc/thread-self/ns/net";

/** The file of a named namespace, whether it exists or not. @throws {TypeError} if `name` cannot be one. */
export function namespacePath(name: string): string {
  if (name === "" || name === "." || name === ".." || name.length > 255 || /[/\0]/.test(name)) {
    throw new TypeError(`${JSON.stringify(name)} is not a name for a network namespace`);
  }
  return `${folder}/${name}`;
}

/** The names of all named namespaces, sorted. */
export function listNamespaces(): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}

/**
 * Makes a named namespace; nothing is in it but a loopback interface that is down.
 *
 * @throws {SystemError} EPERM without privileges; an error with code EEXIST if there is one of that name.
 */
export function createNamespace(name: string): void {
  const path = namespacePath(name);
  prepareFolder();
  closeSync(openSync(path, "wx", 0));
  try {
    stayingHere(() => {
      ffi.unshare(ffi.CLONE.newnet);
      ffi.mount(ownNamespace, path, "none", ffi.MS.bind);
    });
  } catch (error) {
    unlinkSync(path);
    throw error;
  }
}

/** Removes a name. The namespace itself ends when the last socket, thread and process in it is gone. */
export function deleteNamespace(name: string): void {
  const path = namespacePath(name);
  try {
    ffi.umount2(path, ffi.MS.detach);
  } catch (error) {
    // A leftover of an interrupted creation: a file on which nothing is mounted.
    if (!isSystemError(error, "EINVAL")) throw error;
  }
  unlinkSync(path);
}

/**
 * Runs `work` with the calling thread inside a namespace, and brings the thread back. Sockets, workers and programs
 * that `work` makes belong to the namespace and stay there. It must do so before it returns: nothing that it leaves to
 * later, to a promise or to a callback, happens inside.
 *
 * @throws what `work` throws, or an error if there is no such namespace.
 */
export function inNamespace<T>(name: string, work: () => T extends PromiseLike<unknown> ? never : T): T {
  return stayingHere(() => {
    enterNamespace(name);
    return work() as T;
  });
}

/**
 * The file of a namespace to look into: of a named one, or, where `name` begins with `/`, of one that has no name but is
 * somewhere else in the file system, such as `/proc/4711/ns/net`.
 *
 * @throws {TypeError} if `name` can be neither.
 */
function namespaceFile(name: string): string {
  return name.startsWith("/") ? name : namespacePath(name);
}

/** Moves the calling thread into a namespace for good: for workers, and for processes that work in one namespace alone. */
export function enterNamespace(name: string): void {
  withNamespaceFile(name, (fd) => ffi.setns(fd, ffi.CLONE.newnet));
}

/** Lends a file descriptor of a namespace, as rtnetlink wants it to move a link there. */
export function withNamespaceFile<T>(name: string, use: (fd: number) => T): T {
  const fd = openSync(namespaceFile(name), "r");
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** The identity of a namespace, the calling thread's own without a name: equal for equal namespaces on this machine. */
export function namespaceId(name?: string): string {
  const { dev, ino } = statSync(name === undefined ? ownNamespace : namespaceFile(name));
  return `${dev}:${ino}`;
}

/**
 * All network namespaces of this machine that can be looked into: the named ones by their names, and those that only
 * have processes in them by the file of one of these (`/proc/4711/ns/net`), as {@link inNamespace} takes both. With
 * `dev:ino` as {@link namespaceId} has it; each once.
 */
export function findNamespaces(): readonly { readonly name: string; readonly id: string }[] {
  const found = new Map<string, string>();
  const look = (name: string) => {
    try {
      const id = namespaceId(name);
      if (!found.has(id)) found.set(id, name);
    } catch {
      // It is gone, or the process is too private.
    }
  };
  listNamespaces().forEach(look);
  for (const entry of readdirSync("/proc")) if (/^\d+$/.test(entry)) look(`/proc/${entry}/ns/net`);
  return Array.from(found, ([id, name]) => ({ id, name }));
}

/** Runs `work`, which may move the calling thread, and brings the thread back to its network namespace. */
function stayingHere<T>(work: () => T): T {
  const home = openSync(ownNamespace, "r");
  try {
    return work();
  } finally {
    ffi.setns(home, ffi.CLONE.newnet);
    closeSync(home);
  }
}

/** Makes the folder a mount of its own that is shared, so that other mount namespaces see what is mounted there. */
function prepareFolder(): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  try {
    ffi.mount("", folder, "none", ffi.MS.shared | ffi.MS.rec);
  } catch (error) {
    if (!isSystemError(error, "EINVAL")) throw error;
    ffi.mount(folder, folder, "none", ffi.MS.bind | ffi.MS.rec);
    ffi.mount("", folder, "none", ffi.MS.shared | ffi.MS.rec);
  }
}

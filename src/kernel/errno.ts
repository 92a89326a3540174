/** Failed system calls as errors: the number, its name, the call. */
import { constants } from "node:os";

/** Errors of Linux (`errno(3)`, and a few that only leave the kernel through netlink) that `node:os` does not list. */
const furtherErrors: Readonly<Record<string, number>> = {
  ERESTART: 85,
  ESOCKTNOSUPPORT: 94,
  EPFNOSUPPORT: 96,
  ETOOMANYREFS: 109,
  EUCLEAN: 117,
  EMEDIUMTYPE: 124,
  EKEYEXPIRED: 127,
  EOWNERDEAD: 130,
};

/** Where Linux has two names for one number, the one that manual pages use. */
const namesByNumber = new Map<number, string>([
  ...Object.entries({ ...constants.errno, ...furtherErrors }).map(([name, number]) => [number, name] as const),
  [constants.errno.EAGAIN, "EAGAIN"],
  [constants.errno.EOPNOTSUPP, "EOPNOTSUPP"],
]);

/** The name of an error number, such as `EPERM` for 1; `E<number>` for one without a known name. */
export function errnoName(errno: number): string {
  return namesByNumber.get(errno) ?? `E${errno}`;
}

/** The number of an error name on this system, such as 1 for `EPERM`; undefined if there is no such name. */
export function errnoNumber(name: string): number | undefined {
  return (constants.errno as Readonly<Record<string, number>>)[name] ?? furtherErrors[name];
}

/** A system call failed. It has the fields of Node's own system errors (`code`, `errno`, `syscall`). */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** The error's name, such as `EPERM`. */
  readonly code: string;
  /** The error's number, positive as in C. */
  readonly errno: number;
  /** The call that failed, such as `setns`. */
  readonly syscall: string;

  /**
   * @param syscall the call that failed.
   * @param errno the positive error number.
   * @param detail what the call was made on, such as a path or an option's name.
   */
  constructor(syscall: string, errno: number, detail?: string) {
    const code = errnoName(errno);
    super(`${syscall}${detail === undefined ? "" : ` ${detail}`}: ${code}${explanations[code] ?? ""}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

/** The remedy, for those errors that people meet. */
const explanations: Readonly<Record<string, string>> = {
  EPERM: " (not permitted: run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN in this namespace)",
  EACCES: " (permission denied: run as root)",
  EAFNOSUPPORT: " (this kernel lacks the address family)",
  EPROTONOSUPPORT: " (this kernel lacks the protocol)",
};

/** True if `error` is a failed system call (ours or Node's) with one of these error names. */
export function isSystemError(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

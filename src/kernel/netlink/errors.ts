/** What can go wrong on a netlink socket, as error types. */
import { errnoName } from "../errno.ts";

/** Bytes that are no well-formed netlink messages. */
export class NetlinkFormatError extends Error {
  override readonly name = "NetlinkFormatError";

  constructor(message: string) {
    super(`malformed netlink message: ${message}`);
  }
}

/** What the kernel said about a request that it refused. */
export interface Refusal {
  /** The positive error number. */
  readonly errno: number;
  /** The kernel's own explanation (`NLMSGERR_ATTR_MSG`), if it gave one. */
  readonly explanation?: string | undefined;
  /** Where in the request's message the offending attribute starts (`NLMSGERR_ATTR_OFFS`), in bytes. */
  readonly offset?: number | undefined;
}

/**
 * The kernel refused a request. Its message is `<request>: <code>: <explanation>`, such as
 * `add element ip portolan endpoints: EEXIST: element already exists`.
 */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";
  /** The error's name, such as `EEXIST`. */
  readonly code: string;
  /** The error's number, positive. */
  readonly errno: number;
  /** The request that failed, for people, such as `add element ip portolan endpoints`. */
  readonly request: string;
  /** The kernel's own explanation, if it gave one. */
  readonly explanation: string | undefined;
  /** Where in the failing message the offending attribute starts, in bytes, if the kernel said so. */
  readonly offset: number | undefined;

  constructor(request: string, refusal: Refusal) {
    const code = errnoName(refusal.errno);
    const hint = refusal.explanation || meanings[code];
    super(`${request}: ${code}${hint ? `: ${hint}` : ""}`);
    this.code = code;
    this.errno = refusal.errno;
    this.request = request;
    this.explanation = refusal.explanation;
    this.offset = refusal.offset;
  }
}

/** Our explanation where the kernel gives none. */
const meanings: Readonly<Record<string, string>> = {
  EPERM: "not permitted: this needs CAP_NET_ADMIN in the network namespace",
  ENOENT: "does not exist",
  EEXIST: "exists already",
  EBUSY: "is in use",
  EOPNOTSUPP: "this kernel does not support it",
  ERESTART: "the rule set was changed by someone else in between",
  ENOBUFS: "a buffer overflowed, messages were lost: the state must be read again",
};

/** True if a request failed because what it names does not exist (ENOENT, ENODEV, ESRCH, EADDRNOTAVAIL). */
export function isNotFound(error: unknown): error is NetlinkError {
  return hasCode(error, "ENOENT", "ENODEV", "ESRCH", "EADDRNOTAVAIL");
}

/** True if a request failed because what it would make exists (EEXIST). */
export function isAlreadyExists(error: unknown): error is NetlinkError {
  return hasCode(error, "EEXIST");
}

/** True if a request failed because what it would remove is in use (EBUSY). */
export function isBusy(error: unknown): error is NetlinkError {
  return hasCode(error, "EBUSY");
}

/** True if a request failed for lack of rights (EPERM, EACCES). */
export function isNotPermitted(error: unknown): error is NetlinkError {
  return hasCode(error, "EPERM", "EACCES");
}

/** True if the kernel lacks what was asked for (EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT). */
export function isNotSupported(error: unknown): error is NetlinkError {
  return hasCode(error, "EOPNOTSUPP", "EPROTONOSUPPORT", "EAFNOSUPPORT");
}

/** True if replies were lost in a full buffer (ENOBUFS): whether the request took effect is not known. */
export function isOverrun(error: unknown): error is NetlinkError {
  return hasCode(error, "ENOBUFS");
}

/** True if somebody else changed the state since it was read (ERESTART of nf_tables, EINTR of an interrupted dump). */
export function isConflict(error: unknown): error is NetlinkError {
  return hasCode(error, "ERESTART", "EINTR");
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof NetlinkError && codes.includes(error.code);
}

/** A netlink socket for requests: each is sent and answered in one synchronous step of some microseconds. */
import { SystemError } from "../errno.ts";
import * as ffi from "../ffi.ts";
import { controlType, messageFlags, protocols } from "./constants.ts";
import { NetlinkError, NetlinkFormatError, type Refusal } from "./errors.ts";
import { MessageReader } from "./reader.ts";
import { NetlinkWriter } from "./writer.ts";

/** How a {@link NetlinkSocket} is set up. */
export interface NetlinkSocketOptions {
  /** The most bytes of one {@link NetlinkSocket.send}. It is a limit, no memory is set aside. 256 MiB if not given. */
  readonly sendBuffer?: number;
  /** The bytes of replies that the kernel may queue. 4 MiB if not given. */
  readonly receiveBuffer?: number;
}

/** Options of level `SOL_NETLINK` (`linux/netlink.h`). */
const netlinkOption = { addMembership: 1, capAck: 10, extAck: 11, strictCheck: 12 } as const;

/** How long a reply may take before it counts as lost. The kernel answers within the send itself. */
const replyTimeoutSeconds = 10;

const eintr = 4;
const interruption: Refusal = { errno: eintr, explanation: "the state kept changing while it was read" };
const etimedout = 110;

/** How often an interrupted dump is started again before that is an error. */
const dumpAttempts = 20;

/** The longest datagram: the kernel's dumps use up to 32 KiB, a message with one attribute of 64 KiB fits as well. */
export const receiveSize = 1 << 17;

/**
 * A socket to one family of the kernel's netlink interface, in the network namespace in which it was made (it stays
 * there, wherever its thread goes). Keep it: opening and closing cost more than a request.
 *
 * A request blocks the thread while the kernel works on it, typically 5 to 20 us. Extended errors are asked for, so
 * that a {@link NetlinkError} says what the kernel did not like.
 *
 * Readers given to callbacks look into the socket's buffer: they are valid during the callback, and the callback must
 * not use the same socket.
 */
export class NetlinkSocket implements Disposable {
  /** The family, one of {@link protocols}. */
  readonly protocol: number;
  /** The socket's port (`nl_pid`), by which events can be told to be caused by it. */
  readonly port: number;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(receiveSize);
  readonly #view = new DataView(this.#buffer.buffer);
  readonly #writer = new NetlinkWriter();
  #sequence = 0;
  #open = true;

  /**
   * @param protocol the family, one of {@link protocols}.
   * @throws {SystemError} if the kernel refuses, EPROTONOSUPPORT if it lacks the family.
   */
  constructor(protocol: number, options: NetlinkSocketOptions = {}) {
    this.protocol = protocol;
    this.#fd = openNetlink(protocol);
    try {
      setBufferSize(this.#fd, "send", options.sendBuffer ?? 256 << 20);
      setBufferSize(this.#fd, "receive", options.receiveBuffer ?? 4 << 20);
      ffi.setsockopt(this.#fd, ffi.SOL.netlink, netlinkOption.capAck, 1);
      ffi.setsockopt(this.#fd, ffi.SOL.netlink, netlinkOption.extAck, 1);
      if (protocol === protocols.route) ffi.setsockopt(this.#fd, ffi.SOL.netlink, netlinkOption.strictCheck, 1);
      const timeout = new Uint8Array(16);
      timeout[0] = replyTimeoutSeconds;
      ffi.setsockopt(this.#fd, ffi.SOL.socket, ffi.SO.rcvtimeo, timeout);
      this.port = socketPort(this.#fd);
    } catch (error) {
      ffi.close(this.#fd);
      throw error;
    }
  }

  /**
   * Makes a request and waits until the kernel has done it.
   *
   * @param name what it does, for people: an error's message starts with it.
   * @param type the message type.
   * @param flags {@link messageFlags}; request and ack are added.
   * @param write writes the family's header and the attributes.
   * @param onReply gets each message that answers, if the request asks for something.
   * @throws {NetlinkError} if the kernel refuses.
   */
  request(
    name: string,
    type: number,
    flags: number,
    write: (writer: NetlinkWriter) => void,
    onReply?: (message: MessageReader) => void,
  ): void {
    const sequence = this.#send(type, flags | messageFlags.ack, write);
    for (;;) {
      for (const message = this.receive(name); message.next(); ) {
        if (message.sequence !== sequence) continue;
        if (message.type !== controlType.error) onReply?.(message);
        else if (message.i32(0) === 0) return;
        else throw new NetlinkError(name, readRefusal(message));
      }
    }
  }

  /**
   * Asks for everything of a kind. If the state changes meanwhile so that the answer would be inconsistent, it is
   * asked for again.
   *
   * @param name what is read, for people: an error's message starts with it.
   * @param type the message type.
   * @param write writes the family's header and the attributes that filter.
   * @param read makes a value of each message; undefined leaves it out.
   * @throws {NetlinkError} if the kernel refuses; EINTR if the state kept changing through 20 attempts.
   */
  dump<T>(
    name: string,
    type: number,
    write: (writer: NetlinkWriter) => void,
    read: (message: MessageReader) => T | undefined,
  ): T[] {
    for (let attempt = 1; ; attempt++) {
      const values: T[] = [];
      try {
        for (const part of this.dumpParts(name, type, write, read)) for (const value of part) values.push(value);
        return values;
      } catch (error) {
        const interrupted = error instanceof NetlinkError && error.errno === eintr;
        if (!interrupted || attempt === dumpAttempts) throw error;
      }
    }
  }

  /**
   * As {@link dump}, but hands over what each datagram brings, so that the caller of a large dump can let others run in
   * between. The kernel waits; use this socket for nothing else until the end, and close it if that is not reached.
   *
   * @throws {NetlinkError} if the kernel refuses; EINTR, at the end, if the state changed meanwhile so that the answer
   *   is inconsistent.
   */
  *dumpParts<T>(
    name: string,
    type: number,
    write: (writer: NetlinkWriter) => void,
    read: (message: MessageReader) => T | undefined,
  ): Generator<readonly T[], void> {
    const sequence = this.#send(type, messageFlags.dump, write);
    let interrupted = false;
    let failure: { readonly error: unknown } | undefined;
    for (;;) {
      const values: T[] = [];
      for (const message = this.receive(name); message.next(); ) {
        if (message.sequence !== sequence) continue;
        interrupted ||= (message.flags & messageFlags.dumpInterrupted) !== 0;
        if (message.type === controlType.done || message.type === controlType.error) {
          if (failure !== undefined) throw failure.error;
          // A dump that fails half-way says so in its last message.
          const refusal = message.length >= 20 ? readRefusal(message) : { errno: 0 };
          if (refusal.errno > 0 && refusal.errno !== eintr) throw new NetlinkError(name, refusal);
          if (interrupted || refusal.errno === eintr) throw new NetlinkError(name, interruption);
          yield values;
          return;
        }
        if (interrupted || failure !== undefined) continue;
        try {
          const value = read(message);
          if (value !== undefined) values.push(value);
        } catch (error) {
          // The rest must be received: the kernel allows one dump at a time on a socket.
          failure = { error };
        }
      }
      yield values;
    }
  }

  #send(type: number, flags: number, write: (writer: NetlinkWriter) => void): number {
    const sequence = this.reserveSequences(1);
    this.#writer.reset();
    this.#writer.begin(type, flags, sequence);
    write(this.#writer);
    this.#writer.end();
    this.send(this.#writer);
    return sequence;
  }

  /**
   * Sets sequence numbers aside, for callers that build their own messages.
   *
   * @returns the first of `count` numbers, none of which is 0.
   */
  reserveSequences(count: number): number {
    if (this.#sequence + count > 0xffff_ffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  /** Sends everything that was written, in one datagram. @throws {SystemError} EMSGSIZE above the send buffer. */
  send(writer: NetlinkWriter): void {
    ffi.send(this.#fd, writer.buffer, writer.length);
  }

  /**
   * Receives the next datagram, waiting up to ten seconds for it.
   *
   * @param name what it answers, for errors.
   * @returns its messages, valid until the next receive. They may belong to an earlier, failed request: compare the
   * sequence numbers.
   * @throws {NetlinkError} ENOBUFS if the kernel had to drop replies, ETIMEDOUT if nothing came.
   */
  receive(name: string): MessageReader {
    const reader = this.#receive(name, 0);
    if (reader === undefined)
      throw new NetlinkError(name, { errno: etimedout, explanation: "the kernel did not answer" });
    return reader;
  }

  /** Receives as {@link receive}, without waiting. @returns undefined if nothing is there. */
  tryReceive(name: string): MessageReader | undefined {
    return this.#receive(name, ffi.MSG.dontwait);
  }

  #receive(name: string, flags: number): MessageReader | undefined {
    for (;;) {
      try {
        const length = ffi.recv(this.#fd, this.#buffer, flags | ffi.MSG.trunc);
        return length === undefined ? undefined : wholeDatagram(this.#buffer, length, this.#view);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.code === "ENOBUFS") throw new NetlinkError(name, { errno: error.errno });
        // A signal came while we waited.
        if (error.code !== "EINTR") throw error;
      }
    }
  }

  /** Closes the socket. Closing again does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    ffi.close(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens and binds a netlink socket; the kernel chooses its port. @returns the file descriptor. */
export function openNetlink(protocol: number): number {
  const fd = ffi.socket(ffi.AF.netlink, ffi.SOCK.raw | ffi.SOCK.cloexec, protocol);
  const address = new Uint8Array(12);
  address[0] = ffi.AF.netlink;
  try {
    ffi.bind(fd, address);
  } catch (error) {
    ffi.close(fd);
    throw error;
  }
  return fd;
}

/** Makes a netlink socket a member of a multicast group. */
export function joinGroup(fd: number, group: number): void {
  ffi.setsockopt(fd, ffi.SOL.netlink, netlinkOption.addMembership, group);
}

/** Raises a socket's buffer above the system's limit if we may, else up to the limit. */
export function setBufferSize(fd: number, direction: "send" | "receive", bytes: number): void {
  const [force, polite] =
    direction === "send" ? [ffi.SO.sndbufforce, ffi.SO.sndbuf] : [ffi.SO.rcvbufforce, ffi.SO.rcvbuf];
  try {
    ffi.setsockopt(fd, ffi.SOL.socket, force, bytes);
  } catch {
    ffi.setsockopt(fd, ffi.SOL.socket, polite, bytes);
  }
}

/** A reader of a received datagram. @throws {NetlinkFormatError} if it was longer than the buffer. */
export function wholeDatagram(buffer: Uint8Array, length: number, view?: DataView): MessageReader {
  if (length > buffer.length) throw new NetlinkFormatError(`datagram of ${length} bytes exceeds ${buffer.length}`);
  return new MessageReader(buffer, length, view);
}

/**
 * What an error message (`NLMSG_ERROR`) says, with the extended error's attributes.
 *
 * @throws {NetlinkFormatError} if it is cut off.
 */
export function readRefusal(message: MessageReader): Refusal {
  const errno = -message.i32(0);
  if ((message.flags & messageFlags.ackAttributes) === 0) return { errno };
  // The request's header follows the number, and its body unless the message is capped.
  const body = (message.flags & messageFlags.capped) !== 0 ? 0 : Math.max(0, message.u32(4) - 16);
  let explanation: string | undefined;
  let offset: number | undefined;
  for (const attribute = message.attributes(20 + body); attribute.next(); ) {
    if (attribute.type === 1) explanation = attribute.string();
    else if (attribute.type === 2) offset = attribute.u32();
    else if (attribute.type === 5) explanation ??= `attribute ${attribute.u32()} is missing`;
  }
  return { errno, explanation, offset };
}

function socketPort(fd: number): number {
  const address = ffi.getsockname(fd);
  return new DataView(address.buffer, address.byteOffset).getUint32(4, true);
}

/**
 * Sends the first packet of a connection, by an ordinary socket: a SYN, a datagram, an echo request. In two steps, so
 * that whoever watches for it knows its port before it is on its way.
 */
import { type Address, type Family, isUnspecified, parseAddress } from "../../net/address.ts";
import { isSystemError } from "../errno.ts";
import * as ffi from "../ffi.ts";
import { peerAddress, peerPort, socketAddress } from "./udp.ts";

/** IANA numbers of the protocols that are sent. */
const protocolNumber = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

/** What to send. */
export interface FirstPacketOptions {
  readonly family: Family;
  /** 1 ICMP or 58 ICMPv6 (an echo request), 6 TCP, 17 UDP. */
  readonly protocol: number;
  /** An address of this namespace; the routes choose one if not given. */
  readonly source?: Address;
  /** A free one if not given. For ICMP, the identifier. */
  readonly sourcePort?: number;
  readonly destination: Address;
  /** TCP and UDP. */
  readonly destinationPort?: number;
  /** `SO_MARK`: needs CAP_NET_ADMIN. */
  readonly mark?: number;
  /** What a datagram or an echo request carries; empty if not given. */
  readonly payload?: Uint8Array;
  /** TCP's first sequence number, 1 to 2^32 - 1; one that the kernel chooses if not given. Needs CAP_NET_ADMIN. */
  readonly sequence?: number;
}

/** What the sender has seen of an answer. */
export type Reaction =
  /** TCP: connected. Others: a packet came back. */
  | { readonly kind: "answered" }
  /** Nothing so far. */
  | { readonly kind: "nothing" }
  /** An error, such as ECONNREFUSED. */
  | { readonly kind: "error"; readonly code: string };

/** A socket that is ready to send one first packet, in the network namespace in which it was made. */
export class FirstPacket implements Disposable {
  /** The port that it is bound to; for ICMP the identifier. */
  readonly sourcePort: number;
  readonly #fd: number;
  readonly #options: FirstPacketOptions;
  #error: string | undefined;
  #answered = false;
  #open = true;

  /**
   * Makes the socket, and sends nothing.
   *
   * @throws {SystemError} as `bind` does: EADDRNOTAVAIL where the source is not an address of this namespace.
   * @throws {RangeError} for other protocols.
   */
  constructor(options: FirstPacketOptions) {
    const { family, protocol, source, sourcePort = 0, mark = 0 } = options;
    const { tcp, udp, icmp, icmpv6 } = protocolNumber;
    if (![tcp, udp, icmp, icmpv6].some((each) => each === protocol)) {
      throw new RangeError(`protocol ${protocol} cannot be sent: TCP, UDP and ICMP can`);
    }
    const isEcho = protocol === icmp || protocol === icmpv6;
    this.#options = options;
    const type = isEcho ? ffi.SOCK.raw : protocol === tcp ? ffi.SOCK.stream : ffi.SOCK.dgram;
    const domain = family === "IPv4" ? ffi.AF.inet : ffi.AF.inet6;
    this.#fd = ffi.socket(domain, type | ffi.SOCK.nonblock | ffi.SOCK.cloexec, isEcho ? protocol : 0);
    try {
      if (mark !== 0) ffi.setsockopt(this.#fd, ffi.SOL.socket, ffi.SO.mark, mark | 0);
      const any = source ?? parseAddress(family === "IPv4" ? "0.0.0.0" : "::");
      if (!isEcho || source !== undefined) ffi.bind(this.#fd, socketAddress(any, isEcho ? 0 : sourcePort));
      if (options.sequence !== undefined && protocol === tcp) setSequence(this.#fd, options.sequence);
      this.sourcePort = isEcho ? sourcePort || 1 + (process.pid & 0x7fff) : peerPort(ffi.getsockname(this.#fd));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Sends the packet. That a rule of this machine drops it on its way out, or that no route leads there, is no error
   * here: see {@link reaction}.
   */
  send(): void {
    const { protocol, destination, destinationPort = 0, payload = new Uint8Array(), family } = this.#options;
    try {
      if (protocol === protocolNumber.tcp || protocol === protocolNumber.udp) {
        ffi.connect(this.#fd, socketAddress(destination, destinationPort));
        if (protocol === protocolNumber.udp) ffi.send(this.#fd, payload);
      } else {
        ffi.sendto(this.#fd, echoRequest(family, this.sourcePort, payload), socketAddress(destination, 0));
      }
    } catch (error) {
      if (isSystemError(error, "EINPROGRESS")) return;
      if (!(error instanceof Error && "code" in error)) throw error;
      this.#error = String(error.code);
    }
  }

  /** The source address that the routes have chosen, after {@link send}; undefined if none is chosen. */
  source(): Address | undefined {
    const address = peerAddress(ffi.getsockname(this.#fd));
    return isUnspecified(address) ? undefined : address;
  }

  /** What has come back so far. */
  reaction(): Reaction {
    if (this.#answered) return { kind: "answered" };
    if (this.#error !== undefined) return { kind: "error", code: this.#error };
    try {
      if (this.#options.protocol === protocolNumber.tcp) {
        // The peer's name is there once the connection is; a failed one says why.
        ffi.send(this.#fd, new Uint8Array(), 0, noSignal);
        return { kind: "answered" };
      }
      const buffer = new Uint8Array(2048);
      for (let length = ffi.recv(this.#fd, buffer); length !== undefined; length = ffi.recv(this.#fd, buffer)) {
        if (this.#options.protocol === protocolNumber.udp || this.#isEchoReply(buffer.subarray(0, length))) {
          this.#answered = true;
          return { kind: "answered" };
        }
      }
      return { kind: "nothing" };
    } catch (error) {
      if (isSystemError(error, "EAGAIN")) return { kind: "nothing" };
      if (isSystemError(error, "ENOTCONN")) return { kind: "nothing" };
      if (!(error instanceof Error && "code" in error)) throw error;
      // Asked again, the socket says EPIPE.
      this.#error = String(error.code);
      return { kind: "error", code: this.#error };
    }
  }

  #isEchoReply(packet: Uint8Array): boolean {
    const isIPv4 = this.#options.family === "IPv4";
    const at = isIPv4 ? 4 * ((packet[0] ?? 0) & 15) : 0;
    const identifier = ((packet[at + 4] ?? 0) << 8) | (packet[at + 5] ?? 0);
    return packet[at] === (isIPv4 ? 0 : 129) && identifier === this.sourcePort;
  }

  /** Closes the socket: a connection that was made is reset, one that is being made is given up. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    ffi.close(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Options of `linux/tcp.h`, made for restoring sockets of checkpoints: a sequence number that is set is kept. */
const tcpRepair = { mode: 19, queue: 20, sequence: 21, sendQueue: 2 } as const;

function setSequence(fd: number, sequence: number): void {
  ffi.setsockopt(fd, ffi.SOL.tcp, tcpRepair.mode, 1);
  ffi.setsockopt(fd, ffi.SOL.tcp, tcpRepair.queue, tcpRepair.sendQueue);
  ffi.setsockopt(fd, ffi.SOL.tcp, tcpRepair.sequence, sequence | 0);
  ffi.setsockopt(fd, ffi.SOL.tcp, tcpRepair.mode, 0);
}

/** `MSG_NOSIGNAL`. */
const noSignal = 0x4000;

/** An echo request; the kernel fills in the checksum of ICMPv6 itself. */
function echoRequest(family: Family, identifier: number, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(8 + payload.length);
  message[0] = family === "IPv4" ? 8 : 128;
  message.set([identifier >> 8, identifier & 255, 0, 1], 4);
  message.set(payload, 8);
  if (family === "IPv4") {
    const sum = internetChecksum(message);
    message.set([sum >> 8, sum & 255], 2);
  }
  return message;
}

/** The checksum of RFC 1071. */
function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

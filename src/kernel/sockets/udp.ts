/** UDP sockets that receive and send many datagrams with one system call. */
import {
  type Address,
  addressBytes,
  addressFromBytes,
  type Family,
  familyOf,
  isUnspecified,
} from "../../net/address.ts";
import { DatagramBatch } from "../datagrams.ts";
import { AF, bind, close, getsockname, SO, SOCK, SOL, setsockopt, socket, type Watch, watch } from "../ffi.ts";

/** Where and how to listen. */
export interface UdpOptions {
  /** An address of this machine; `::` is all addresses of both families. */
  readonly address: Address;
  /** 0 for a free one. */
  readonly port: number;
  /** Datagrams per system call, and buffers kept. */
  readonly batch?: number;
  /** The largest datagram that is received or sent, in bytes. Longer ones that come in are dropped. */
  readonly maxSize?: number;
}

/** A peer of a socket, in the kernel's `sockaddr` layout, as datagrams come with it. */
export type SocketAddress = Uint8Array;

/**
 * The address of this machine that a datagram was sent to, as a control message (`IP_PKTINFO`, `IPV6_PKTINFO`): a reply
 * that is sent with it comes from that address, even if the machine has several. Empty on sockets of one address.
 */
export type ArrivalAddress = Uint8Array;

/** `IPV6_V6ONLY` and `IPV6_RECVPKTINFO` of linux/in6.h, `IP_PKTINFO` of linux/in.h. */
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IP_PKTINFO = 8;
/** `CMSG_SPACE` of an `in6_pktinfo`, the larger one. */
const arrivalSize = 40;
/** Where the data of a control message begins. */
const controlData = 16;
/** Batches received in one turn of the event loop, before other work gets its turn. */
const batchesPerTurn = 8;
const receiveBuffer = 4 * 1024 * 1024;

/**
 * A bound UDP socket on the event loop. What is sent while datagrams are being handled goes out together after the
 * last of the batch; what is sent later goes out at the end of the turn. Sending never waits: what the kernel does not
 * take is dropped, as the network may do.
 */
export class UdpSocket {
  readonly #fd: number;
  readonly #input: DatagramBatch;
  readonly #output: DatagramBatch;
  #queued = 0;
  #flushing = false;
  #handling = false;
  #closed = false;
  #watch: Watch | undefined;
  /** The port that it is bound to. */
  readonly port: number;

  /** Binds a socket, sharing the port with other sockets of the same user (`SO_REUSEPORT`). Throws a SystemError. */
  constructor({ address, port, batch = 64, maxSize = 4096 }: UdpOptions) {
    const six = familyOf(address) === "IPv6";
    this.#fd = socket(six ? AF.inet6 : AF.inet, SOCK.dgram | SOCK.nonblock | SOCK.cloexec, 0);
    try {
      setsockopt(this.#fd, SOL.socket, SO.reuseport, 1);
      setsockopt(this.#fd, SOL.socket, SO.rcvbuf, receiveBuffer);
      const everywhere = isUnspecified(address);
      if (six) setsockopt(this.#fd, SOL.ipv6, IPV6_V6ONLY, everywhere ? 0 : 1);
      if (everywhere) setsockopt(this.#fd, six ? SOL.ipv6 : SOL.ip, six ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
      bind(this.#fd, socketAddress(address, port));
      this.port = peerPort(getsockname(this.#fd));
      this.#input = new DatagramBatch(batch, maxSize, everywhere ? arrivalSize : 0);
      this.#output = new DatagramBatch(batch, maxSize, everywhere ? arrivalSize : 0);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
  }

  /**
   * Begins to receive.
   *
   * @param handle gets each datagram, its sender and where it arrived: views that are valid only during the call. It
   * must not throw.
   */
  start(handle: Handle): void {
    this.#watch ??= watch(this.#fd, "readable", () => this.#receive(handle));
  }

  /** Sends a datagram to an address that one came with, from where that one arrived. */
  send(datagram: Uint8Array, to: SocketAddress, from?: ArrivalAddress): void {
    if (this.#closed) return;
    if (this.#queued === this.#output.count) this.#flush();
    this.#output.set(this.#queued++, datagram, to, from);
    if (this.#handling || this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Stops receiving and frees the port. */
  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    this.#watch?.close();
    close(this.#fd);
  }

  #receive(handle: Handle): void {
    const input = this.#input;
    for (let turn = 0; turn < batchesPerTurn; turn++) {
      const count = this.#receiveBatch();
      this.#handling = true;
      for (let i = 0; i < count; i++) {
        if (!input.truncated(i)) handle(input.datagram(i), input.address(i), anyInterface(input.control(i)));
      }
      this.#handling = false;
      this.#flush();
      if (count < input.count || this.#closed) return;
    }
  }

  /** How many datagrams came; errors that ICMP reports about datagrams sent before are not ours to solve. */
  #receiveBatch(): number {
    try {
      return this.#input.receive(this.#fd);
    } catch {
      return 0;
    }
  }

  #flush(): void {
    if (this.#closed) return;
    for (let done = 0; done < this.#queued; ) {
      try {
        const sent = this.#output.send(this.#fd, this.#queued - done, undefined, done);
        if (sent === 0) break;
        done += sent;
      } catch {
        // One that cannot be sent (no route, forbidden) must not keep the others.
        done++;
      }
    }
    this.#queued = 0;
  }
}

/** Takes a datagram. */
type Handle = (datagram: Uint8Array, from: SocketAddress, arrival: ArrivalAddress) => void;

/** Takes the interface out of an arrival, so that a reply may leave over another one; link-local ones need it. */
function anyInterface(arrival: ArrivalAddress): ArrivalAddress {
  if (arrival.length === 0) return arrival;
  const six = arrival[8] === SOL.ipv6;
  if (six && arrival[controlData] === 0xfe) return arrival;
  const at = six ? controlData + 16 : controlData;
  arrival.fill(0, at, at + 4);
  return arrival;
}

/** The address of an arrival; undefined if it is empty. */
export function arrivalAddress(arrival: ArrivalAddress): Address | undefined {
  if (arrival.length === 0) return undefined;
  if (arrival[8] !== SOL.ipv6) return addressFromBytes(arrival.subarray(controlData + 8, controlData + 12));
  const address = addressFromBytes(arrival.subarray(controlData, controlData + 16));
  return address.startsWith("::ffff:") && address.includes(".") ? (address.slice(7) as Address) : address;
}

/** An address and port in the kernel's layout (`sockaddr_in`, `sockaddr_in6`). */
export function socketAddress(address: Address, port: number): SocketAddress {
  const bytes = addressBytes(address);
  const six = bytes.length === 16;
  const result = new Uint8Array(six ? 28 : 16);
  result[0] = six ? AF.inet6 : AF.inet;
  result[2] = port >> 8;
  result[3] = port & 255;
  result.set(bytes, six ? 8 : 4);
  return result;
}

/** The address of a peer; IPv4 in dotted form, also where it came in on a socket of both families. */
export function peerAddress(peer: SocketAddress): Address {
  if (peerFamily(peer) === "IPv6") return addressFromBytes(peer.subarray(8, 24));
  return addressFromBytes(peer[0] === AF.inet ? peer.subarray(4, 8) : peer.subarray(20, 24));
}

/** The family of a peer: IPv4 too where it came in on a socket of both families (`::ffff:192.0.2.1`). */
export function peerFamily(peer: SocketAddress): Family {
  if (peer[0] === AF.inet) return "IPv4";
  if (peer[18] !== 0xff || peer[19] !== 0xff) return "IPv6";
  for (let i = 8; i < 18; i++) if (peer[i] !== 0) return "IPv6";
  return "IPv4";
}

/** The port of a peer. */
export function peerPort(peer: SocketAddress): number {
  return ((peer[2] ?? 0) << 8) | (peer[3] ?? 0);
}

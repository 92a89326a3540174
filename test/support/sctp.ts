/**
 * As much SCTP (RFC 9260) as a test of address translation needs, on raw sockets, since the kernel may lack SCTP: a
 * client sends an INIT, a server answers with an INIT ACK that carries its words in the place of a cookie.
 */
import { isSystemError } from "../../src/kernel/errno.ts";
import * as ffi from "../../src/kernel/ffi.ts";
import { peerAddress, socketAddress } from "../../src/kernel/sockets/udp.ts";
import { type Address, familyOf } from "../../src/net/address.ts";
import { protocolNumbers } from "../../src/net/protocol.ts";
import type { Host } from "./network.ts";
import type { Answer, Attempt, AttemptOptions, Listener } from "./sockets.ts";

const chunkType = { init: 1, initAck: 2 } as const;
/** The parameter "state cookie". */
const cookie = 7;
/** Common header, and chunk header with the fixed fields of INIT and INIT ACK. */
const commonLength = 12;
const chunkLength = 20;

/** What matters of a packet. */
interface Packet {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly chunk: number;
  /** The sender's tag for the association. */
  readonly tag: number;
  readonly words: string;
}

let lastPort = 20_000 + Math.floor(Math.random() * 20_000);

/** Sends an INIT and waits for the answer. */
export function attemptSctp(host: Host, { from, to, port, timeout }: AttemptOptions): Promise<Attempt> {
  return new Promise((resolve) => {
    const fd = openRaw(host, to, from);
    ffi.connect(fd, socketAddress(to, 0));
    const own = peerAddress(ffi.getsockname(fd));
    lastPort = lastPort >= 60_000 ? 20_000 : lastPort + 1;
    const sourcePort = lastPort;
    const done = (attempt: Attempt) => {
      clearTimeout(timer);
      watch.close();
      ffi.close(fd);
      resolve(attempt);
    };
    const timer = setTimeout(() => done({ kind: "silent" }), timeout);
    const watch = ffi.watch(fd, "readable", () => {
      try {
        for (const { packet } of receiveAll(fd, to)) {
          if (packet.destinationPort !== sourcePort || packet.chunk !== chunkType.initAck) continue;
          done({ kind: "answered", answer: packet.words, own });
          return;
        }
      } catch (error) {
        done(isSystemError(error, "ECONNREFUSED") ? { kind: "refused" } : { kind: "failed", code: String(error) });
      }
    });
    try {
      ffi.send(fd, encode(sourcePort, port, 0, chunkType.init, 1 + sourcePort, ""));
    } catch (error) {
      // A packet that a rule drops on its way out fails with EPERM; whether it was rejected, ICMP says later.
      if (!isSystemError(error, "EPERM")) done({ kind: "failed", code: String(error) });
    }
  });
}

/** Answers every INIT to a port. @throws {SystemError} as `bind` does. */
export function serveSctp(host: Host, address: Address, port: number, answer: Answer): Listener {
  const fd = openRaw(host, address, address);
  const watch = ffi.watch(fd, "readable", () => {
    for (const { packet, from } of receiveAll(fd, address)) {
      if (packet.destinationPort !== port || packet.chunk !== chunkType.init) continue;
      const words = answer({ address: from, port: packet.sourcePort });
      try {
        ffi.sendto(
          fd,
          encode(port, packet.sourcePort, packet.tag, chunkType.initAck, 1, words),
          socketAddress(from, 0),
        );
      } catch {
        // The client has gone.
      }
    }
  });
  return {
    close() {
      watch.close();
      ffi.close(fd);
    },
  };
}

function openRaw(host: Host, family: Address, own: Address | undefined): number {
  return host.run((): number => {
    const number = familyOf(family) === "IPv4" ? ffi.AF.inet : ffi.AF.inet6;
    const fd = ffi.socket(number, ffi.SOCK.raw | ffi.SOCK.nonblock | ffi.SOCK.cloexec, protocolNumbers.SCTP);
    try {
      if (own !== undefined) ffi.bind(fd, socketAddress(own, 0));
      return fd;
    } catch (error) {
      ffi.close(fd);
      throw error;
    }
  });
}

/** Everything that is queued. IPv4 packets come with their header, IPv6 packets without. */
function receiveAll(fd: number, family: Address): readonly { readonly packet: Packet; readonly from: Address }[] {
  const received: { packet: Packet; from: Address }[] = [];
  const is4 = familyOf(family) === "IPv4";
  const buffer = new Uint8Array(2048);
  const sender = new Uint8Array(is4 ? 16 : 28);
  for (;;) {
    const length = ffi.recvfrom(fd, buffer, sender);
    if (length === undefined) return received;
    const start = is4 ? 4 * ((buffer[0] ?? 0) & 15) : 0;
    const packet = decode(buffer.slice(start, length));
    if (packet !== undefined) received.push({ packet, from: peerAddress(sender) });
  }
}

function encode(from: number, to: number, verification: number, chunk: number, tag: number, words: string): Uint8Array {
  const text = new TextEncoder().encode(words);
  const parameter = text.length === 0 ? 0 : 4 + text.length;
  const bytes = new Uint8Array(commonLength + chunkLength + ((parameter + 3) & ~3));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, from);
  view.setUint16(2, to);
  view.setUint32(4, verification);
  view.setUint8(12, chunk);
  view.setUint16(14, chunkLength + parameter);
  view.setUint32(16, tag);
  view.setUint32(20, 65_536);
  view.setUint16(24, 1);
  view.setUint16(26, 1);
  view.setUint32(28, 1);
  if (parameter > 0) {
    view.setUint16(32, cookie);
    view.setUint16(34, parameter);
    bytes.set(text, 36);
  }
  view.setUint32(8, crc32c(bytes), true);
  return bytes;
}

function decode(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < commonLength + chunkLength) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length >= 36 ? Math.max(4, view.getUint16(34)) : 4;
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    chunk: view.getUint8(12),
    tag: view.getUint32(16),
    words: new TextDecoder().decode(bytes.subarray(36, 32 + length)),
  };
}

/** The checksum of SCTP (RFC 9260, appendix A), with its own field as zero. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

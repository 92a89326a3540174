/**
 * Whole Ethernet frames in and out of the kernel: of a link that is there (packet sockets, packet(7)), or of one that
 * is made for that (TAP devices, Documentation/networking/tuntap.rst). Frames carry the kernel's own header
 * (`struct virtio_net_hdr`), so that checksums not yet made and segments not yet cut pass as they are.
 */
import { isSystemError } from "./errno.ts";
import * as ffi from "./ffi.ts";
import { setBufferSize } from "./netlink/socket.ts";

/** Bytes of the header before each frame, and of the longest frame with it. */
const headerLength = 10;
const longestFrame = headerLength + 65_536 + 64;
/** Frames read in one turn, before others have theirs. */
const turn = 64;
/** `ETH_P_ALL`, in network byte order. */
const everything = 0x0300;
/** Options of level SOL_PACKET (`linux/if_packet.h`). */
const packetOption = { vnetHeader: 15, ignoreOutgoing: 23 } as const;
/** Requests and flags of `linux/if_tun.h`. */
const tunRequest = { setInterface: 0x4004_54ca, setOffload: 0x4004_54d0 } as const;
const tunFlag = { tap: 0x2, plain: 0x1000, vnetHeader: 0x4000 } as const;
/** `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6`. */
const offloads = 1 | 2 | 4;

/** A place where frames come in and go out. */
export class FramePort implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(longestFrame);
  #watch: ffi.Watch | undefined;
  #open = true;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Calls back with each frame that comes in, until {@link close}. The bytes are the caller's.
   *
   * @param onGone is called once if the link goes, or goes down.
   */
  listen(onFrame: (frame: Uint8Array) => void, onGone: () => void): void {
    this.#watch = ffi.watch(this.#fd, "readable", () => {
      try {
        for (let i = 0; i < turn && this.#open; i++) {
          const length = ffi.read(this.#fd, this.#buffer);
          if (length === undefined) return;
          if (length > headerLength) onFrame(this.#buffer.slice(0, length));
        }
      } catch {
        if (!this.#open) return;
        this.close();
        onGone();
      }
    });
  }

  /** Sends a frame as {@link listen} gave one. What the link does not take is lost, as on any wire. */
  send(frame: Uint8Array): void {
    if (!this.#open) return;
    try {
      ffi.write(this.#fd, frame);
    } catch (error) {
      if (!["ENETDOWN", "ENOBUFS", "ENXIO", "EIO", "EINVAL", "EMSGSIZE"].some((code) => isSystemError(error, code)))
        throw error;
    }
  }

  /** Closes it; a TAP device goes. Closing again does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch?.close();
    ffi.close(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * The frames that come in over a link, and a way to send some out over it, in the calling thread's network namespace.
 *
 * @param index the link's number.
 * @throws {SystemError} EPERM without privileges.
 */
export function openLinkFrames(index: number): FramePort {
  const fd = ffi.socket(ffi.AF.packet, ffi.SOCK.raw | ffi.SOCK.cloexec | ffi.SOCK.nonblock, 0);
  try {
    ffi.setsockopt(fd, ffi.SOL.packet, packetOption.vnetHeader, 1);
    ffi.setsockopt(fd, ffi.SOL.packet, packetOption.ignoreOutgoing, 1);
    setBufferSize(fd, "receive", 8 << 20);
    // struct sockaddr_ll
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, ffi.AF.packet, true);
    address.setUint16(2, everything, true);
    address.setInt32(4, index, true);
    ffi.bind(fd, new Uint8Array(address.buffer));
    return new FramePort(fd);
  } catch (error) {
    ffi.close(fd);
    throw error;
  }
}

/**
 * Makes a TAP device in the calling thread's network namespace: what the kernel sends over it comes in here, and the
 * other way round. It goes when the port is closed.
 *
 * @throws {SystemError} EBUSY if there is a link of that name; ENOENT if the machine has no /dev/net/tun.
 */
export function makeTap(name: string): FramePort {
  const fd = ffi.open("/dev/net/tun", ffi.O.rdwr | ffi.O.nonblock | ffi.O.cloexec);
  try {
    // struct ifreq
    const request = new DataView(new ArrayBuffer(40));
    new TextEncoder().encodeInto(name, new Uint8Array(request.buffer, 0, 15));
    request.setUint16(16, tunFlag.tap | tunFlag.plain | tunFlag.vnetHeader, true);
    ffi.ioctl(fd, tunRequest.setInterface, new Uint8Array(request.buffer));
    // This request takes a number where others take a structure.
    ffi.syscall("ioctl", ffi.syscallNumber({ x64: 16, arm64: 29 }), fd, tunRequest.setOffload, offloads);
    return new FramePort(fd);
  } catch (error) {
    ffi.close(fd);
    throw error;
  }
}

/**
 * Whole Ethernet frames in and out over a link (packet sockets, packet(7)). Frames carry the kernel's own header
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

  /** Closes it. Closing again does nothing. */
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

/** Many datagrams with one system call. */
import { addressOf, MSG, recvmmsg, sendmmsg } from "./ffi.ts";

/**
 * A fixed set of datagram buffers for `recvmmsg(2)` and `sendmmsg(2)`: many datagrams for one system call. Each has
 * room for `size` bytes, a socket address of up to 28 bytes (`sockaddr_in6`), and control messages (`cmsg(3)`) if asked
 * for.
 */
export class DatagramBatch {
  /** How many datagrams fit. */
  readonly count: number;
  /** The most bytes of one datagram. */
  readonly size: number;
  readonly #data: Uint8Array;
  readonly #addresses: Uint8Array;
  readonly #controls: Uint8Array;
  readonly #controlSize: number;
  readonly #vectors: Uint8Array;
  readonly #headers: Uint8Array;
  readonly #vectorView: DataView;
  readonly #headerView: DataView;

  /** @param controlSize bytes for the control messages of a datagram. */
  constructor(count: number, size: number, controlSize = 0) {
    this.count = count;
    this.size = size;
    this.#controlSize = controlSize;
    this.#controls = new Uint8Array(Math.max(8, count * controlSize));
    this.#data = new Uint8Array(count * size);
    this.#addresses = new Uint8Array(count * addressSize);
    this.#vectors = new Uint8Array(count * 16);
    this.#headers = new Uint8Array(count * headerSize);
    this.#vectorView = new DataView(this.#vectors.buffer);
    this.#headerView = new DataView(this.#headers.buffer);
    const [data, addresses, vectors] = [this.#data, this.#addresses, this.#vectors].map(addressOf) as [
      bigint,
      bigint,
      bigint,
    ];
    const controls = addressOf(this.#controls);
    for (let i = 0; i < count; i++) {
      this.#vectorView.setBigUint64(16 * i, data + BigInt(i * size), true);
      this.#headerView.setBigUint64(headerSize * i, addresses + BigInt(i * addressSize), true);
      this.#headerView.setBigUint64(headerSize * i + 16, vectors + BigInt(16 * i), true);
      this.#headerView.setBigUint64(headerSize * i + 24, 1n, true);
      if (controlSize > 0) {
        this.#headerView.setBigUint64(headerSize * i + 32, controls + BigInt(i * controlSize), true);
      }
    }
  }

  /**
   * Receives datagrams without waiting for more than are queued.
   *
   * @returns how many were received: 0 if none is there and the socket or `flags` forbid waiting.
   */
  receive(fd: number, flags: number = MSG.dontwait): number {
    for (let i = 0; i < this.count; i++) {
      this.#vectorView.setUint32(16 * i + 8, this.size, true);
      this.#headerView.setUint32(headerSize * i + 8, addressSize, true);
      this.#headerView.setUint32(headerSize * i + 40, this.#controlSize, true);
    }
    return recvmmsg(fd, this.#headers, this.count, flags) ?? 0;
  }

  /** The bytes of a received datagram: a view, valid until the next {@link receive}. */
  datagram(index: number): Uint8Array {
    const length = this.#headerView.getUint32(headerSize * index + 56, true);
    return this.#data.subarray(index * this.size, index * this.size + length);
  }

  /** True if a received datagram was longer than {@link size} (`MSG_TRUNC`). */
  truncated(index: number): boolean {
    return (this.#headerView.getUint32(headerSize * index + 48, true) & MSG.trunc) !== 0;
  }

  /** The sender's `sockaddr` of a received datagram: a view, valid until the next {@link receive}. */
  address(index: number): Uint8Array {
    const length = Math.min(addressSize, this.#headerView.getUint32(headerSize * index + 8, true));
    return this.#addresses.subarray(index * addressSize, index * addressSize + length);
  }

  /** The control messages of a received datagram: a view, valid until the next {@link receive}. */
  control(index: number): Uint8Array {
    const length = Math.min(this.#controlSize, this.#headerView.getUint32(headerSize * index + 40, true));
    return this.#controls.subarray(index * this.#controlSize, index * this.#controlSize + length);
  }

  /**
   * Puts a datagram in place for {@link send}.
   *
   * @param address the receiver's `sockaddr`; undefined on a connected socket.
   * @param control control messages to send it with.
   */
  set(index: number, bytes: Uint8Array, address?: Uint8Array, control?: Uint8Array): void {
    if (bytes.length > this.size) throw new RangeError(`a datagram of ${bytes.length} bytes exceeds ${this.size}`);
    this.#data.set(bytes, index * this.size);
    this.#addresses.set(address ?? [], index * addressSize);
    this.#vectorView.setUint32(16 * index + 8, bytes.length, true);
    this.#headerView.setUint32(headerSize * index + 8, address?.length ?? 0, true);
    if (control !== undefined) this.#controls.set(control, index * this.#controlSize);
    this.#headerView.setUint32(headerSize * index + 40, control?.length ?? 0, true);
  }

  /** Sends `count` datagrams from number `first` on. @returns how many were sent, 0 if none can be without waiting. */
  send(fd: number, count: number, flags: number = MSG.dontwait, first = 0): number {
    if (first + count > this.count) throw new RangeError(`${count} datagrams exceed the ${this.count} of this batch`);
    const headers = first === 0 ? this.#headers : this.#headers.subarray(first * headerSize);
    return sendmmsg(fd, headers, count, flags) ?? 0;
  }
}

/** `sizeof(struct mmsghdr)` and of `struct sockaddr_in6`. */
const headerSize = 64;
const addressSize = 28;

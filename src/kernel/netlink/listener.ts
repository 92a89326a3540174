/** Multicast events of the kernel, through the event loop. */
import { SystemError } from "../errno.ts";
import * as ffi from "../ffi.ts";
import type { MessageReader } from "./reader.ts";
import { joinGroup, openNetlink, receiveSize, setBufferSize, wholeDatagram } from "./socket.ts";

/** What a {@link NetlinkListener} reports. */
export type NetlinkEvent =
  /** Messages of one datagram: valid until the next event is asked for. */
  | { readonly kind: "messages"; readonly messages: MessageReader }
  /** Events were lost in a full buffer: what was derived from them must be read again. */
  | { readonly kind: "overrun" };

/** How a {@link NetlinkListener} is set up. */
export interface NetlinkListenerOptions {
  /** The bytes of events that the kernel may queue while we are busy. 8 MiB if not given. */
  readonly receiveBuffer?: number;
}

/**
 * A socket that receives a family's multicast events, in the network namespace in which it was made.
 * Events are queued from the constructor on: make it before reading the state that it shall keep up to date.
 */
export class NetlinkListener implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(receiveSize);
  #watch: ffi.Watch | undefined;
  #open = true;

  /**
   * @param protocol the family, one of `protocols`.
   * @param groups numbers of multicast groups (not bit masks).
   * @throws {SystemError} EPERM or EACCES if a group is for privileged processes only.
   */
  constructor(protocol: number, groups: readonly number[], options: NetlinkListenerOptions = {}) {
    this.#fd = openNetlink(protocol);
    try {
      setBufferSize(this.#fd, "receive", options.receiveBuffer ?? 8 << 20);
      for (const group of groups) joinGroup(this.#fd, group);
    } catch (error) {
      ffi.close(this.#fd);
      throw error;
    }
  }

  /** The next event that is queued already, undefined if there is none. */
  receive(): NetlinkEvent | undefined {
    for (;;) {
      try {
        const length = ffi.recv(this.#fd, this.#buffer, ffi.MSG.dontwait | ffi.MSG.trunc);
        if (length === undefined) return undefined;
        return { kind: "messages", messages: wholeDatagram(this.#buffer, length) };
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.code === "ENOBUFS") return { kind: "overrun" };
        if (error.code !== "EINTR") throw error;
      }
    }
  }

  /**
   * Waits for events, one after the other, until the signal aborts: then the loop ends without an error. An event that
   * is not asked for stays in the kernel's queue.
   */
  async *events(signal: AbortSignal): AsyncGenerator<NetlinkEvent, void, undefined> {
    while (!signal.aborted && this.#open) {
      const event = this.receive();
      if (event !== undefined) yield event;
      else await this.#readable(signal);
    }
  }

  /** Calls back for each event as it comes, until {@link close}. */
  listen(onEvent: (event: NetlinkEvent) => void): void {
    this.#watch?.close();
    this.#watch = ffi.watch(this.#fd, "readable", () => {
      while (this.#open) {
        const event = this.receive();
        if (event === undefined) return;
        onEvent(event);
      }
    });
  }

  /** Ends listening and closes the socket. Closing again does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch?.close();
    ffi.close(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #readable(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        watch.close();
        resolve();
      };
      const watch = ffi.watch(this.#fd, "readable", done);
      this.#watch = { ...watch, close: done };
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

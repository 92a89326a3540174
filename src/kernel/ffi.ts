/**
 * The C library's system calls, typed: the only file that knows the foreign function library (koffi).
 *
 * Every function here blocks the calling thread for as long as its system call does, and works on the calling thread
 * (so that {@link setns} in a worker moves that worker alone). The library is loaded at the first call: importing this
 * module costs nothing and works everywhere; calling where it cannot work throws an error that says what is missing.
 *
 * Structures are passed as bytes in the layout of the 64-bit little-endian Linux ABIs (x86-64, arm64).
 */
import { createRequire } from "node:module";
import { endianness } from "node:os";
import type * as Koffi from "koffi";
import { SystemError } from "./errno.ts";

/** Address families (`AF_*` of `sys/socket.h`). */
export const AF = { unspec: 0, unix: 1, inet: 2, inet6: 10, netlink: 16, packet: 17 } as const;

/** Socket types and flags (`SOCK_*`): combine with `|`. */
export const SOCK = { stream: 1, dgram: 2, raw: 3, nonblock: 0x800, cloexec: 0x80000 } as const;

/** Option levels (`SOL_*`, `IPPROTO_*`). */
export const SOL = { socket: 1, ip: 0, tcp: 6, udp: 17, ipv6: 41, packet: 263, netlink: 270 } as const;

/** Options of level {@link SOL}.socket (`SO_*`). */
export const SO = {
  reuseaddr: 2,
  broadcast: 6,
  sndbuf: 7,
  rcvbuf: 8,
  reuseport: 15,
  rcvtimeo: 20,
  sndtimeo: 21,
  bindtodevice: 25,
  attachFilter: 26,
  sndbufforce: 32,
  rcvbufforce: 33,
  mark: 36,
} as const;

/** Flags of sending and receiving (`MSG_*`): combine with `|`. */
export const MSG = { peek: 2, trunc: 0x20, dontwait: 0x40, waitforone: 0x10000 } as const;

/** Flags of {@link open} (`O_*` of x86-64 and arm64): combine with `|`. */
export const O = { rdonly: 0, wronly: 1, rdwr: 2, creat: 0x40, excl: 0x80, nonblock: 0x800, cloexec: 0x80000 } as const;

/** Namespaces for {@link setns} and {@link unshare} (`CLONE_NEW*`): combine with `|`. */
export const CLONE = {
  newns: 0x00020000,
  newcgroup: 0x02000000,
  newuts: 0x04000000,
  newipc: 0x08000000,
  newuser: 0x10000000,
  newpid: 0x20000000,
  newnet: 0x40000000,
} as const;

/** Flags of {@link mount} and {@link umount2} (`MS_*`, `MNT_DETACH`): combine with `|`. */
export const MS = {
  rdonly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  remount: 0x20,
  bind: 0x1000,
  rec: 0x4000,
  private: 0x40000,
  slave: 0x80000,
  shared: 0x100000,
  detach: 2,
} as const;

type Call = (...args: readonly (number | bigint | string | Uint8Array | null)[]) => number;

const prototypes = {
  socket: "int socket(int, int, int)",
  bind: "int bind(int, const void *, uint32_t)",
  connect: "int connect(int, const void *, uint32_t)",
  getsockname: "int getsockname(int, void *, void *)",
  send: "int64_t send(int, const void *, uint64_t, int)",
  sendto: "int64_t sendto(int, const void *, uint64_t, int, const void *, uint32_t)",
  recv: "int64_t recv(int, void *, uint64_t, int)",
  recvfrom: "int64_t recvfrom(int, void *, uint64_t, int, void *, void *)",
  sendmmsg: "int sendmmsg(int, void *, uint32_t, int)",
  recvmmsg: "int recvmmsg(int, void *, uint32_t, int, void *)",
  read: "int64_t read(int, void *, uint64_t)",
  write: "int64_t write(int, const void *, uint64_t)",
  setsockopt: "int setsockopt(int, int, int, const void *, uint32_t)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  close: "int close(int)",
  open: "int open(const char *, int, uint32_t)",
  memfdCreate: "int memfd_create(const char *, uint32_t)",
  ioctl: "int ioctl(int, uint64_t, void *)",
  setns: "int setns(int, int)",
  unshare: "int unshare(int)",
  mount: "int mount(const char *, const char *, const char *, uint64_t, const char *)",
  umount2: "int umount2(const char *, int)",
  syscall: "int64_t syscall(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)",
} as const;

interface Library {
  readonly koffi: typeof Koffi;
  readonly calls: { readonly [Name in keyof typeof prototypes]: Call };
}

let loaded: Library | undefined;

/** Loads the library or throws an error that says what this system lacks. */
function library(): Library {
  if (loaded !== undefined) return loaded;
  if (process.platform !== "linux") {
    throw new Error(`This needs Linux system calls; this system is ${process.platform}. Run it on a Linux node.`);
  }
  if (endianness() !== "LE" || (process.arch !== "x64" && process.arch !== "arm64")) {
    throw new Error(`Linux system calls are supported on x64 and arm64, not on ${process.arch}`);
  }
  let koffi: typeof Koffi;
  try {
    koffi = createRequire(import.meta.url)("koffi");
  } catch (cause) {
    throw new Error(
      `The package "koffi", which makes system calls, cannot be loaded for linux-${process.arch}. ` +
        "It comes as optional packages with prebuilt binaries: install without --omit=optional.",
      { cause },
    );
  }
  const libc = koffi.load(null);
  const calls = Object.fromEntries(Object.entries(prototypes).map(([name, prototype]) => [name, libc.func(prototype)]));
  loaded = { koffi, calls: calls as unknown as Library["calls"] };
  return loaded;
}

/** Why system calls cannot be made here, in a sentence; undefined if they can. */
export function whyUnavailable(): string | undefined {
  try {
    library();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function checked(name: keyof typeof prototypes, result: number, detail?: string): number {
  if (result < 0) throw new SystemError(name, library().koffi.errno(), detail);
  return result;
}

/** `socket(2)`: a new file descriptor. Pass {@link SOCK}.cloexec, so that programs we start do not inherit it. */
export function socket(family: number, type: number, protocol: number): number {
  const detail = `family ${family} type ${type & 15} protocol ${protocol}`;
  return checked("socket", library().calls.socket(family, type, protocol), detail);
}

/** `bind(2)` to an address in the kernel's `sockaddr` layout. */
export function bind(fd: number, address: Uint8Array): void {
  checked("bind", library().calls.bind(fd, address, address.length));
}

/** `connect(2)` to an address in the kernel's `sockaddr` layout. */
export function connect(fd: number, address: Uint8Array): void {
  checked("connect", library().calls.connect(fd, address, address.length));
}

/** `getsockname(2)`: the socket's own address in the kernel's `sockaddr` layout, at most 128 bytes. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  checked("getsockname", library().calls.getsockname(fd, address, asBytes(length)));
  return address.subarray(0, length[0]);
}

/**
 * `send(2)` of the first `length` bytes.
 *
 * @returns the number of bytes sent.
 */
export function send(fd: number, bytes: Uint8Array, length = bytes.length, flags = 0): number {
  bounded(bytes, length);
  return checked("send", library().calls.send(fd, bytes, length, flags));
}

/**
 * `sendto(2)` of the whole of `bytes` to an address in the kernel's `sockaddr` layout.
 *
 * @returns the number of bytes sent.
 */
export function sendto(fd: number, bytes: Uint8Array, address: Uint8Array, flags = 0): number {
  return checked("sendto", library().calls.sendto(fd, bytes, bytes.length, flags, address, address.length));
}

/**
 * `recv(2)` into `buffer`.
 *
 * @returns the number of bytes received (with {@link MSG}.trunc: the datagram's full length); undefined if there is
 * nothing to receive now (`EAGAIN`: a non-blocking socket, {@link MSG}.dontwait or a receive timeout).
 */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number | undefined {
  return orAgain("recv", library().calls.recv(fd, buffer, buffer.length, flags));
}

/**
 * `recvfrom(2)` into `buffer`; the sender's `sockaddr` is written to `address` (its rest is left as it was).
 *
 * @returns as {@link recv}.
 */
export function recvfrom(fd: number, buffer: Uint8Array, address: Uint8Array, flags = 0): number | undefined {
  const length = asBytes(new Uint32Array([address.length]));
  return orAgain("recvfrom", library().calls.recvfrom(fd, buffer, buffer.length, flags, address, length));
}

/** `read(2)` into `buffer`. @returns the bytes read, 0 at the end, undefined if there is nothing now (`EAGAIN`). */
export function read(fd: number, buffer: Uint8Array): number | undefined {
  return orAgain("read", library().calls.read(fd, buffer, buffer.length));
}

/** `write(2)` of the first `length` bytes. @returns the bytes written, undefined if none can be now (`EAGAIN`). */
export function write(fd: number, bytes: Uint8Array, length = bytes.length): number | undefined {
  bounded(bytes, length);
  return orAgain("write", library().calls.write(fd, bytes, length));
}

/** `setsockopt(2)`; a number is passed as C `int`. */
export function setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === "number" ? asBytes(new Int32Array([value])) : value;
  checked("setsockopt", library().calls.setsockopt(fd, level, option, bytes, bytes.length), `${level}/${option}`);
}

/** `getsockopt(2)` of an option whose value has at most `size` bytes; or of one that is asked by what `size` holds. */
export function getsockopt(fd: number, level: number, option: number, size: number | Uint8Array = 4): Uint8Array {
  const value = typeof size === "number" ? new Uint8Array(size) : size.slice();
  const length = new Uint32Array([value.length]);
  checked("getsockopt", library().calls.getsockopt(fd, level, option, value, asBytes(length)), `${level}/${option}`);
  return value.subarray(0, length[0]);
}

/** `getsockopt(2)` of an option that is a C `int`. */
export function getsockoptInt(fd: number, level: number, option: number): number {
  const value = getsockopt(fd, level, option);
  return new DataView(value.buffer, value.byteOffset, 4).getInt32(0, true);
}

/** `close(2)`. */
export function close(fd: number): void {
  checked("close", library().calls.close(fd));
}

/** `open(2)`: a new file descriptor. Pass {@link O}.cloexec. `mode` counts for files that it creates. */
export function open(path: string, flags: number, mode = 0o600): number {
  return checked("open", library().calls.open(withoutNul(path), flags, mode), path);
}

/**
 * `memfd_create(2)`: a file in memory, gone with its last descriptor; closed in programs that this process starts.
 *
 * @param name what `/proc/PID/fd` shows; at most 249 bytes.
 */
export function memfdCreate(name: string): number {
  const closeOnExec = 1;
  return checked("memfdCreate", library().calls.memfdCreate(withoutNul(name), closeOnExec), name);
}

/** `ioctl(2)` with a structure that the kernel reads or writes. @returns the call's result. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  return checked("ioctl", library().calls.ioctl(fd, request, argument), `0x${request.toString(16)}`);
}

/** `setns(2)`: moves the calling thread into the namespace that `fd` refers to. `type` is one of {@link CLONE}, or 0. */
export function setns(fd: number, type: number): void {
  checked("setns", library().calls.setns(fd, type));
}

/** `unshare(2)`: moves the calling thread into new namespaces ({@link CLONE}). */
export function unshare(namespaces: number): void {
  checked("unshare", library().calls.unshare(namespaces));
}

/** `mount(2)`. */
export function mount(source: string, target: string, type: string, flags: number, data = ""): void {
  const [from, to, kind, options] = [source, target, type, data].map(withoutNul) as [string, string, string, string];
  checked("mount", library().calls.mount(from, to, kind, flags, options), `${source} on ${target}`);
}

/** `umount2(2)`. `flags` is 0 or {@link MS}.detach. */
export function umount2(target: string, flags = 0): void {
  checked("umount2", library().calls.umount2(withoutNul(target), flags), target);
}

/**
 * Any system call by its number, for those that the C library does not wrap. Pointers are made with {@link addressOf}.
 *
 * @param name for the error, such as `bpf`.
 * @param number the call's number on this architecture ({@link syscallNumber}).
 * @returns its result, 0 or above.
 */
export function syscall(name: string, number: number, ...args: readonly (number | bigint)[]): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
  const result = library().calls.syscall(number, a, b, c, d, e, f);
  if (result < 0) throw new SystemError(name, library().koffi.errno());
  return result;
}

/** The number of a system call on the architecture that we run on. */
export function syscallNumber(numbers: { readonly x64: number; readonly arm64: number }): number {
  return process.arch === "arm64" ? numbers.arm64 : numbers.x64;
}

/**
 * The address of a buffer's first byte, to be written into another structure. The caller must keep the buffer
 * referenced for as long as the kernel may follow the pointer: nothing else keeps it from being collected.
 */
export function addressOf(buffer: Uint8Array): bigint {
  return library().koffi.address(buffer);
}

/**
 * `sendmmsg(2)` of the first `count` of an array of `struct mmsghdr`; see `DatagramBatch`.
 *
 * @returns how many were sent; undefined if none can be now (`EAGAIN`).
 */
export function sendmmsg(fd: number, headers: Uint8Array, count: number, flags: number): number | undefined {
  return orAgain("sendmmsg", library().calls.sendmmsg(fd, headers, count, flags));
}

/**
 * `recvmmsg(2)` into the first `count` of an array of `struct mmsghdr`; see `DatagramBatch`.
 *
 * @returns how many were received; undefined if there is nothing now (`EAGAIN`).
 */
export function recvmmsg(fd: number, headers: Uint8Array, count: number, flags: number): number | undefined {
  return orAgain("recvmmsg", library().calls.recvmmsg(fd, headers, count, flags, null));
}

/** A watch on a file descriptor's readiness, made by {@link watch}. */
export interface Watch {
  /** Ends it. Do this before closing the file descriptor. */
  close(): void;
  /** Lets the process end while only this is left. */
  unref(): void;
  /** Keeps the process running (the default). */
  ref(): void;
}

/** Referenced until closed: a collected handle would silently stop reporting. */
const watches = new Set<Koffi.node.PollHandle>();

/**
 * Calls back on the event loop whenever the file descriptor is readable (or writable), again and again for as long as
 * it stays so, and when it has an error to report. The file descriptor becomes non-blocking.
 */
export function watch(fd: number, event: "readable" | "writable", callback: () => void): Watch {
  const interest = { [event]: true };
  const handle = library().koffi.node.poll(fd, interest, onEvent);
  watches.add(handle);
  // koffi passes a status before the events, which its type declarations lack.
  function onEvent(status: unknown): void {
    // koffi calls us outside of Node's callback scope, so that promises resolved here would not be noticed until
    // something else happens on the loop. An immediate runs in the same turn, and is a proper callback.
    setImmediate(() => {
      if (!watches.has(handle)) return;
      callback();
      // The event loop stops watching after an error, which the callback has fetched by now.
      if (typeof status === "number" && status < 0 && watches.has(handle)) handle.start(interest, onEvent);
    });
  }
  return {
    close: () => {
      if (!watches.delete(handle)) return;
      handle.stop();
      handle.close();
    },
    unref: () => handle.unref(),
    ref: () => handle.ref(),
  };
}

function orAgain(name: keyof typeof prototypes, result: number): number | undefined {
  if (result >= 0) return result;
  const errno = library().koffi.errno();
  if (errno === eagain) return undefined;
  throw new SystemError(name, errno);
}

const eagain = 11;

function asBytes(array: Uint32Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer);
}

function bounded(bytes: Uint8Array, length: number): void {
  if (length > bytes.length) throw new RangeError(`${length} bytes exceed the buffer of ${bytes.length}`);
}

/** A NUL would cut the path for the kernel, and make it another one than was checked. */
function withoutNul(text: string): string {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} contains a NUL character`);
  return text;
}

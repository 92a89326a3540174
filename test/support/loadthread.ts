/** A thread of load.ts: a client or a server, in the namespace in which it was started, that makes blocking calls. */
import { parentPort, workerData } from "node:worker_threads";
import { isSystemError } from "../../src/kernel/errno.ts";
import * as ffi from "../../src/kernel/ffi.ts";
import { socketAddress } from "../../src/kernel/sockets/udp.ts";
import { type Address, familyOf } from "../../src/net/address.ts";
import { control, type LoadResult, type LoadTask } from "./load.ts";

/** `SO_LINGER`, and its value for a reset instead of an orderly end: nothing lingers, so ports do not run out. */
const linger = 13;
const resetOnClose = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
const listenCall = ffi.syscallNumber({ x64: 50, arm64: 201 });
const acceptCall = ffi.syscallNumber({ x64: 288, arm64: 242 });
/** Latencies that are kept for the percentiles. */
const maximumSamples = 1 << 20;

const task = workerData as LoadTask;
const shared = new Int32Array(task.shared);
const stopped = () => Atomics.load(shared, control.stop) !== 0;

if (task.role === "server") serve(task);
else parentPort?.postMessage(connectAgainAndAgain(task));

function serve({ address, port, name }: LoadTask & { readonly role: "server" }): void {
  const fd = openSocket(address);
  ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.reuseaddr, 1);
  ffi.bind(fd, socketAddress(address, port));
  ffi.syscall("listen", listenCall, fd, 4096);
  // Wakes up now and then to see whether it is to stop.
  ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.rcvtimeo, timeValue(100));
  Atomics.store(shared, control.ready, 1);
  parentPort?.postMessage("listening");
  const answer = new TextEncoder().encode(name);
  while (!stopped()) {
    let client: number;
    try {
      client = ffi.syscall("accept4", acceptCall, fd, 0, 0, ffi.SOCK.cloexec);
    } catch (error) {
      if (isSystemError(error, "EAGAIN", "EINTR", "ECONNABORTED")) continue;
      throw error;
    }
    try {
      ffi.send(client, answer);
    } catch {
      // The client has gone.
    }
    ffi.close(client);
  }
  ffi.close(fd);
}

function connectAgainAndAgain(options: LoadTask & { readonly role: "client" }): LoadResult {
  const { to, port, connections = Number.POSITIVE_INFINITY, timeout = 900, pause = 0 } = options;
  const peer = socketAddress(to, port);
  const limit = timeValue(timeout);
  const buffer = new Uint8Array(64);
  const decoder = new TextDecoder();
  const failures: Record<string, number> = {};
  const answers: Record<string, number> = {};
  const samples: number[] = [];
  const count = (record: Record<string, number>, name: string) => {
    record[name] = (record[name] ?? 0) + 1;
  };
  const start = performance.now();
  let tried = 0;
  for (; tried < connections && !stopped(); tried++) {
    Atomics.store(shared, control.count, tried);
    const before = performance.now();
    const fd = openSocket(to);
    try {
      ffi.setsockopt(fd, ffi.SOL.socket, linger, resetOnClose);
      ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.sndtimeo, limit);
      ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.rcvtimeo, limit);
      ffi.connect(fd, peer);
      if (samples.length < maximumSamples) samples.push(1000 * (performance.now() - before));
      const length = ffi.recv(fd, buffer);
      if (length === undefined) count(failures, "TIMEOUT");
      else if (length === 0) count(failures, "EMPTY");
      else count(answers, decoder.decode(buffer.subarray(0, length)));
    } catch (error) {
      // A connect that runs into the time limit of sending fails with EINPROGRESS.
      const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
      count(failures, code === "EINPROGRESS" || code === "EAGAIN" ? "TIMEOUT" : code);
    } finally {
      ffi.close(fd);
    }
    if (pause > 0) Atomics.wait(shared, control.stop, 0, pause);
  }
  Atomics.store(shared, control.count, tried);
  samples.sort((a, b) => a - b);
  const at = (share: number) => samples[Math.min(samples.length - 1, Math.floor(share * samples.length))] ?? 0;
  return {
    connections: tried,
    failures,
    answers,
    seconds: (performance.now() - start) / 1000,
    latency: { p50: at(0.5), p99: at(0.99), max: at(1) },
  };
}

function openSocket(address: Address): number {
  const family = familyOf(address) === "IPv4" ? ffi.AF.inet : ffi.AF.inet6;
  return ffi.socket(family, ffi.SOCK.stream | ffi.SOCK.cloexec, 0);
}

/** `struct timeval`. */
function timeValue(milliseconds: number): Uint8Array {
  const value = new Uint8Array(16);
  const view = new DataView(value.buffer);
  view.setBigInt64(0, BigInt(Math.floor(milliseconds / 1000)), true);
  view.setBigInt64(8, BigInt(Math.round((milliseconds % 1000) * 1000)), true);
  return value;
}

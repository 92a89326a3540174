/** eBPF programs for tests: each lets everything pass, and is gone when it is closed. */
import * as ffi from "../../src/kernel/ffi.ts";

/** Commands of `bpf(2)`. */
const command = { load: 5, createLink: 28 } as const;
/** Where programs go: `BPF_PROG_TYPE_*`, `BPF_*` of attaching, what they return to let pass, flags. */
const places = {
  ingress: { type: 3, attach: 46, pass: -1, flags: 0 },
  egress: { type: 3, attach: 47, pass: -1, flags: 0 },
  // `XDP_FLAGS_SKB_MODE`: no driver has to know it.
  xdp: { type: 6, attach: 37, pass: 2, flags: 2 },
  connect4: { type: 18, attach: 10, pass: 1, flags: 0 },
} as const;

/**
 * Attaches a program to a link of the calling thread's namespace by its index, or to a cgroup's directory.
 *
 * @param name at most 15 letters.
 */
export function attachProgram(name: string, place: keyof typeof places, target: number | string): Disposable {
  const { type, attach, pass, flags } = places[place];
  // r0 = pass; exit
  const instructions = new DataView(new ArrayBuffer(16));
  instructions.setUint8(0, 0xb7);
  instructions.setInt32(4, pass, true);
  instructions.setUint8(8, 0x95);
  const code = new Uint8Array(instructions.buffer);
  const license = Buffer.from("GPL\0");
  const loading = new DataView(new ArrayBuffer(72));
  loading.setUint32(0, type, true);
  loading.setUint32(4, 2, true);
  loading.setBigUint64(8, ffi.addressOf(code), true);
  loading.setBigUint64(16, ffi.addressOf(license), true);
  new Uint8Array(loading.buffer).set(Buffer.from(name), 48);
  loading.setUint32(68, attach, true);
  const program = bpf(command.load, loading);
  const directory = typeof target === "string" ? ffi.open(target, ffi.O.rdonly | ffi.O.cloexec) : undefined;
  const linking = new DataView(new ArrayBuffer(64));
  linking.setUint32(0, program, true);
  linking.setUint32(4, directory ?? Number(target), true);
  linking.setUint32(8, attach, true);
  linking.setUint32(12, flags, true);
  const link = bpf(command.createLink, linking);
  ffi.close(program);
  if (directory !== undefined) ffi.close(directory);
  return { [Symbol.dispose]: () => ffi.close(link) };
}

function bpf(what: number, attributes: DataView): number {
  const bytes = new Uint8Array(attributes.buffer);
  return ffi.syscall("bpf", ffi.syscallNumber({ x64: 321, arm64: 280 }), what, ffi.addressOf(bytes), bytes.length);
}

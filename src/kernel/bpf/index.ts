/** eBPF programs that are attached where packets pass, by `bpf(2)` (`linux/bpf.h`). Reads only. */
import { readFileSync } from "node:fs";
import { isSystemError } from "../errno.ts";
import * as ffi from "../ffi.ts";

/** Commands of `bpf(2)`. */
const command = { programByIdAsFile: 13, informationOfFile: 15, query: 16 } as const;
/** `__NR_bpf`. */
const number = { x64: 321, arm64: 280 } as const;
/** Bytes of `union bpf_attr` that the commands here use; the kernel takes less and more. */
const attributeLength = 64;
/** The kernel attaches no more to one place (`BPF_MPROG_MAX`, `BPF_CGROUP_MAX_PROGS`). */
const mostPrograms = 64;
/** The start of `struct bpf_prog_info`, up to its name, which is 16 bytes long. */
const nameOffset = 64;
const nameLength = 16;
/** `BPF_F_QUERY_EFFECTIVE`: with what is attached to the groups around. */
const effective = 1;

/** Where programs are attached to a link (`BPF_TCX_*`). */
const linkPlace = { ingress: 46, egress: 47 } as const;
/** Where programs are attached to a cgroup that see what sockets are told (`BPF_CGROUP_*`). */
const cgroupPlace = { connect4: 10, connect6: 11, sendmsg4: 14, sendmsg6: 15 } as const;
/** A hook of sockets. */
export type CgroupHook = keyof typeof cgroupPlace;
/** The hooks of sockets. */
export const cgroupHooks = Object.keys(cgroupPlace) as readonly CgroupHook[];

/**
 * The ids of programs at a link of the calling thread's network namespace, as tcx has them (Linux 6.6), in the
 * order in which they run. None where the kernel does not know tcx.
 *
 * @param link the interface's index.
 * @throws {SystemError} EPERM without CAP_NET_ADMIN over the machine.
 */
export function programsOfLink(link: number, hook: keyof typeof linkPlace): readonly number[] {
  return query(link, linkPlace[hook], 0);
}

/**
 * The ids of the programs that are asked when a process of a cgroup connects a socket, or sends by one that is not
 * connected: those of the group and of all groups around it.
 *
 * @param path the cgroup's directory.
 * @throws {SystemError} if it is none, EPERM without CAP_NET_ADMIN over the machine.
 */
export function programsOfCgroup(path: string, hook: CgroupHook): readonly number[] {
  const directory = ffi.open(path, ffi.O.rdonly | ffi.O.cloexec);
  try {
    return query(directory, cgroupPlace[hook], effective);
  } finally {
    ffi.close(directory);
  }
}

/** The directory of the topmost cgroup that this process sees; undefined where there are none of version 2. */
export function topmostCgroup(): string | undefined {
  return /^\S+ (\S+) cgroup2 /m.exec(readFileSync("/proc/self/mounts", "utf8"))?.[1];
}

/** The name of a program; undefined where it has none, or is gone. @throws {SystemError} EPERM without CAP_SYS_ADMIN. */
export function programName(id: number): string | undefined {
  const asked = new DataView(new ArrayBuffer(attributeLength));
  asked.setUint32(0, id, true);
  let file: number;
  try {
    file = bpf(command.programByIdAsFile, asked);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    const information = new Uint8Array(nameOffset + nameLength);
    const attributes = new DataView(new ArrayBuffer(attributeLength));
    attributes.setUint32(0, file, true);
    attributes.setUint32(4, information.length, true);
    attributes.setBigUint64(8, ffi.addressOf(information), true);
    bpf(command.informationOfFile, attributes);
    const name = new TextDecoder().decode(information.subarray(nameOffset)).replace(/\0.*$/s, "");
    return name === "" ? undefined : name;
  } finally {
    ffi.close(file);
  }
}

/** @param target the index of a link, or the open directory of a cgroup. */
function query(target: number, place: number, flags: number): readonly number[] {
  const ids = new Uint32Array(mostPrograms);
  const bytes = new Uint8Array(ids.buffer);
  const attributes = new DataView(new ArrayBuffer(attributeLength));
  attributes.setUint32(0, target, true);
  attributes.setUint32(4, place, true);
  attributes.setUint32(8, flags, true);
  attributes.setBigUint64(16, ffi.addressOf(bytes), true);
  attributes.setUint32(24, mostPrograms, true);
  try {
    bpf(command.query, attributes);
  } catch (error) {
    // Kernels without eBPF, or without this place for programs, have none there.
    if (isSystemError(error, "EINVAL", "ENOENT", "ENOSYS", "EOPNOTSUPP")) return [];
    throw error;
  }
  return [...ids.subarray(0, attributes.getUint32(24, true))];
}

function bpf(what: number, attributes: DataView): number {
  const bytes = new Uint8Array(attributes.buffer);
  return ffi.syscall("bpf", ffi.syscallNumber(number), what, ffi.addressOf(bytes), bytes.length);
}

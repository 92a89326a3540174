/** What packets meet outside of netfilter: eBPF programs, and filters of tc. What these do is not in a snapshot. */
import {
  type CgroupHook,
  cgroupHooks,
  programName,
  programsOfCgroup,
  programsOfLink,
  topmostCgroup,
} from "../../kernel/bpf/index.ts";
import { isSystemError } from "../../kernel/errno.ts";
import { inNamespace } from "../../kernel/namespace.ts";
import type { NetlinkSocket } from "../../kernel/netlink/index.ts";
import { type Link, listDriverPrograms, listTrafficFilters } from "../../kernel/route/index.ts";

/** A program or filter that sees packets. */
export interface PacketProgram {
  /** At a link: `xdp`, `ingress` and `egress`. At sockets of all programs: when they connect, or send unconnected. */
  readonly hook: "xdp" | "ingress" | "egress" | CgroupHook;
  /** The interface's index; absent for hooks of sockets. */
  readonly interface?: number;
  /** `bpf`, or the kind of a filter of tc, such as `flower`. */
  readonly kind: string;
  readonly name?: string;
}

/**
 * Those of a namespace's links, and those that its programs' sockets meet. Who may not ask for programs, as in a user
 * namespace of one's own, is told those that rtnetlink names alone.
 */
export function listPacketPrograms(
  route: NetlinkSocket,
  links: readonly Link[],
  namespace: string | undefined,
): readonly PacketProgram[] {
  const ofLinks = () =>
    links.flatMap(({ index }) =>
      (["ingress", "egress"] as const).flatMap((hook) =>
        programsOfLink(index, hook).map((id) => ({ interface: index, hook, ...named(id) })),
      ),
    );
  const cgroup = topmostCgroup();
  const ofSockets = () =>
    cgroup === undefined
      ? []
      : cgroupHooks.flatMap((hook) => programsOfCgroup(cgroup, hook).map((id) => ({ hook, ...named(id) })));
  return [
    ...listDriverPrograms(route).map((each) => ({
      interface: each.interface,
      hook: "xdp" as const,
      ...named(each.program),
    })),
    ...unlessForbidden(() => (namespace === undefined ? ofLinks() : inNamespace(namespace, ofLinks))),
    ...listTrafficFilters(route),
    ...unlessForbidden(ofSockets),
  ];
}

function named(id: number): Pick<PacketProgram, "kind" | "name"> {
  const [name] = unlessForbidden(() => [programName(id)]);
  return { kind: "bpf", ...(name !== undefined && { name }) };
}

function unlessForbidden<T>(read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch (error) {
    if (isSystemError(error, "EPERM")) return [];
    throw error;
  }
}

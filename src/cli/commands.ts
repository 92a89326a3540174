/** The commands of this program. They are loaded when they are needed, so that each starts fast. */
import type { Command } from "./command.ts";

/** A command that can be loaded. */
export interface CommandEntry {
  readonly name: string;
  /** The command's own summary, here for the overview. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** All commands, in the order in which the overview shows them. */
export const commands: readonly CommandEntry[] = [
  {
    name: "proxy",
    summary: "Serve Kubernetes Services on this node, in place of kube-proxy",
    load: async () => (await import("./proxy.ts")).proxy,
  },
  {
    name: "dns",
    summary: "Serve the names of a cluster, in place of CoreDNS",
    load: async () => (await import("./dns.ts")).dns,
  },
  {
    name: "lab",
    summary: "A cluster on this machine, to learn on, to try things and to break them",
    load: async () => (await import("./lab.ts")).lab,
  },
  {
    name: "trace",
    summary: "Tell where a packet goes, and why, without sending it",
    load: async () => (await import("./trace.ts")).trace,
  },
  {
    name: "snapshot",
    summary: "Write down everything that decides a packet's way on this node",
    load: async () => (await import("./snapshot.ts")).snapshot,
  },
  {
    name: "check",
    summary: "Find what is wrong with Services on this node, and say what to do",
    load: async () => (await import("./check.ts")).check,
  },
  {
    name: "completion",
    summary: "Print a completion script for bash, zsh or fish",
    load: async () => (await import("./completion.ts")).completion,
  },
  {
    name: "version",
    summary: "Print the version",
    load: async () => (await import("./version.ts")).version,
  },
  {
    name: "help",
    summary: "Explain a command",
    load: async () => (await import("./help.ts")).help,
  },
];

/** Holds a walk against the kernel's account of the same packet: pure. */
import { formatVerdict } from "../../kernel/nftables/index.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { IpHook } from "../walk/hooks.ts";
import type { Ended, Walk } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import type { Packet } from "../walk/packet.ts";
import { type Account, type Header, ipHooks } from "./account.ts";

/** How the two relate. */
export type Comparison =
  /** One of the walk's ways is the kernel's. `depends`: it has others, for want of knowledge. */
  | { readonly kind: "agrees"; readonly way: Ended; readonly depends: boolean }
  /** None is. `walk` is the way that goes along with the kernel longest, and `same` how many lines they share. */
  | { readonly kind: "differs"; readonly walk: readonly string[]; readonly same: number; readonly end: Ended }
  /** The walk says itself that it did not follow every way. */
  | { readonly kind: "not compared"; readonly why: string };

/** Compares. The walk must have been made with every branch apart. */
export function compareWalk({ ends }: Walk, account: Account, interfaceName: (index: number) => string): Comparison {
  const kernel = linesOfAccount(account, interfaceName);
  const depends = ends.some(({ state, outcome }) => state.assumptions.length > 0 || outcome.kind === "unknown");
  let closest: { readonly walk: readonly string[]; readonly same: number; readonly end: Ended } | undefined;
  let lost: string | undefined;
  for (const end of ends) {
    const walk = linesOfWalk(end);
    let same = 0;
    while (same < kernel.length && same < walk.length && alike(kernel[same], walk[same])) same++;
    if (same === kernel.length && same === walk.length) return { kind: "agrees", way: end, depends };
    // What it does not follow it says, and the kernel goes on. Of too many branches it names one for all.
    const { outcome } = end;
    if (outcome.kind === "unknown" && (same >= walk.length - 1 || /too many/.test(outcome.why))) lost ??= outcome.why;
    if (closest === undefined || same > closest.same) closest = { walk, same, end };
  }
  if (lost !== undefined) return { kind: "not compared", why: lost };
  if (closest === undefined) return { kind: "not compared", why: "the walk has no end" };
  return { kind: "differs", ...closest };
}

/** A header that is not all known to a walk has `?` for what is not. */
function alike(kernel: string | undefined, walk: string | undefined): boolean {
  if (kernel === undefined || walk === undefined) return false;
  if (kernel === walk) return true;
  if (!walk.includes("?")) return false;
  const words = kernel.split(" ");
  const host = (word: string) => word.slice(0, word.lastIndexOf(":"));
  return walk
    .split(" ")
    .every((word, i) => word === words[i] || (word.includes(":?") && host(word) === host(words[i] ?? "")));
}

/** The account in lines. */
export function linesOfAccount(account: Account, interfaceName: (index: number) => string): readonly string[] {
  return account.flatMap(({ hook, before, lines, after, output }) => [
    hook,
    ...(before === undefined ? [] : [`  ${describe(before)}`]),
    ...lines.map((line) => `  ${line}`),
    ...(after === undefined
      ? []
      : [
          `  passes as ${describe(after)}${hook === "postrouting" && output !== undefined ? ` by ${interfaceName(output)}` : ""}`,
        ]),
  ]);
}

/** The same lines of a walk's way. Rules of iptables' old variant are left out: the kernel does not trace them. */
export function linesOfWalk({ state, outcome }: Ended): readonly string[] {
  const lines: string[] = [];
  let hook: IpHook | undefined;
  const leave = (packet: Packet, by = "") => {
    if (hook !== undefined) lines.push(`  passes as ${describe(packet)}${by}`);
  };
  for (const step of stepsOf(state)) {
    if (step.kind === "hook") {
      // What leaves, and goes on, has gone out by loopback.
      leave(step.packet, hook === "postrouting" ? " by lo" : "");
      hook = ipHooks.find((each) => each === step.text);
      if (hook !== undefined) lines.push(hook, `  ${describe(step.packet)}`);
    } else if (step.kind === "policy" && !isLegacy(step.table)) {
      lines.push(`  ${step.family} ${step.table} ${step.chain} policy ${step.verdict}`);
    } else if (step.kind === "rule" && !isLegacy(step.table)) {
      lines.push(`  ${step.family} ${step.table} ${step.chain} rule ${step.handle} ${formatVerdict(step.verdict)}`);
    }
  }
  const stopped = outcome.kind === "dropped" || outcome.kind === "rejected" || outcome.kind === "unknown";
  if (!stopped) leave(state.packet, hook === "postrouting" && "interface" in outcome ? ` by ${outcome.interface}` : "");
  return lines;
}

function isLegacy(table: string): boolean {
  return table.startsWith("iptables-legacy ");
}

/** `TCP 10.0.0.1:4000 to 10.0.0.2:80, mark 0x0`, with `?` for a port that is not known. */
function describe(header: Header | Packet): string {
  const { source, destination, protocol, sourcePort, destinationPort, mark } = header;
  const end = (address: typeof source, port: number | undefined) =>
    protocol === 1 || protocol === 58
      ? address
      : port === undefined
        ? formatHostPort(address, 0).replace(/0$/, "?")
        : formatHostPort(address, port);
  return `${end(source, sourcePort)} to ${end(destination, destinationPort)}, mark 0x${mark.toString(16)}`;
}

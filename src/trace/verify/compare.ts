/** Holds a walk against the kernel's account of the same packet: pure. */
import { formatVerdict } from "../../kernel/nftables/index.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { IpHook } from "../walk/hooks.ts";
import type { Ended, State, Walk, WalkOptions } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import { type Packet, protocolNumber } from "../walk/packet.ts";
import { type Account, type Header, ipHooks } from "./account.ts";

/** How the two relate. */
export type Comparison =
  /**
   * One of the walk's ways is the kernel's. `sentOn`: the place where a program got the datagram, and sent what it carried
   * on, or back, in a packet of its own, which the kernel traced as well.
   */
  | { readonly kind: "agrees"; readonly way: Ended; readonly sentOn?: string }
  /** None is. The way that goes along with the kernel longest, and where they part. */
  | { readonly kind: "differs"; readonly end: Ended | undefined; readonly parting: Parting }
  /** The walk says itself that it did not follow every way. */
  | { readonly kind: "not compared"; readonly why: string };

/** Where a walk and the kernel part. */
export interface Parting {
  readonly place: string;
  /** What each of them says of the place; the first `same` lines are alike. */
  readonly kernel: readonly string[];
  readonly walk: readonly string[];
  readonly same: number;
}

/** The accounts of the places that were watched, by name. */
export type Accounts = ReadonlyMap<string, Account>;

/**
 * Walks, and compares at the places that were watched. Ways that the kernel did not go are left as soon as they part from
 * it, so that it does not matter how many there are.
 *
 * @param follow makes the walk with the settings that are given to it.
 */
export function compareWith(
  follow: (options: WalkOptions) => Walk,
  start: string,
  accounts: Accounts,
  interfaceName: (place: string, index: number) => string,
): Comparison {
  const kernel = new Map(
    [...accounts].map(([place, account]) => [place, linesOfAccount(account, (index) => interfaceName(place, index))]),
  );
  const keep = (state: State) => {
    const theirs = kernel.get(state.place);
    if (theirs === undefined) return true;
    const ours = linesOfWalk({ state, outcome: { kind: "unknown", why: "" } }, start).get(state.place) ?? [];
    return ours.every((line, i) => alike(theirs[i], line));
  };
  const near = compareEnds(follow({ everyBranch: true, keep }).ends, start, kernel);
  // Nothing is left where they part: then all ways are looked at for the one that goes along longest.
  return near.kind === "differs" ? compareEnds(follow({ everyBranch: true }).ends, start, kernel) : near;
}

function compareEnds(
  ends: readonly Ended[],
  start: string,
  kernel: ReadonlyMap<string, readonly string[]>,
): Comparison {
  let closest: { readonly end: Ended; readonly parting: Parting; readonly score: number } | undefined;
  let lost: string | undefined;
  for (const end of ends) {
    const lines = linesOfWalk(end, start);
    const { parting, score } = partingOf(kernel, lines);
    if (parting === undefined) return { kind: "agrees", way: end };
    if (isSentOn(end, kernel, lines)) return { kind: "agrees", way: end, sentOn: end.state.place };
    if (isAstray(end, kernel, lines)) return { kind: "agrees", way: end };
    // What it does not follow it says, and the kernel goes on. Of too many branches it names one for all.
    const { outcome } = end;
    const whole = parting.same >= parting.walk.length - 1;
    if (outcome.kind === "unknown" && (whole || /too many/.test(outcome.why))) lost ??= outcome.why;
    if (closest === undefined || score > closest.score) closest = { end, parting, score };
  }
  if (lost !== undefined) return { kind: "not compared", why: lost };
  const none: Parting = { place: start, kernel: kernel.get(start) ?? [], walk: [], same: 0 };
  return { kind: "differs", end: closest?.end, parting: closest?.parting ?? none };
}

/** Whether a walk is right as far as it goes, and a program that got the datagram then sent another one with the same bytes. */
function isSentOn({ outcome, state }: Ended, kernel: Lines, walk: Lines): boolean {
  if (outcome.kind !== "delivered" || state.packet.protocol !== protocolNumber.udp) return false;
  const further: IpHook = "output";
  return begins(kernel, walk) && kernel.get(state.place)?.[walk.get(state.place)?.length ?? 0] === further;
}

/** Whether a walk is right up to a link on which nobody takes the frame, which bridges then send out of all of their ports. */
function isAstray({ outcome }: Ended, kernel: Lines, walk: Lines): boolean {
  if (outcome.kind !== "no neighbour" || !begins(kernel, walk)) return false;
  const taken: readonly string[] = ["input", "output"] satisfies IpHook[];
  return [...kernel].every(
    ([place, theirs]) => !theirs.slice(walk.get(place)?.length ?? 0).some((line) => taken.includes(line)),
  );
}

/** Whether the kernel did what a walk says, and perhaps more. */
function begins(kernel: Lines, walk: Lines): boolean {
  return [...walk].every(([place, ours]) => {
    const theirs = kernel.get(place);
    return theirs === undefined || ours.every((line, i) => alike(theirs[i], line));
  });
}

/** What happened at places, in lines. */
type Lines = ReadonlyMap<string, readonly string[]>;

/** Where they part first, if they do, and how many lines they share in all. */
function partingOf(
  kernel: ReadonlyMap<string, readonly string[]>,
  walk: ReadonlyMap<string, readonly string[]>,
): { readonly parting: Parting | undefined; readonly score: number } {
  let score = 0;
  let parting: Parting | undefined;
  // In the walk's order; then those that it does not come to.
  for (const place of new Set([...walk.keys(), ...kernel.keys()])) {
    const theirs = kernel.get(place);
    if (theirs === undefined) continue;
    const ours = walk.get(place) ?? [];
    let same = 0;
    while (same < theirs.length && same < ours.length && alike(theirs[same], ours[same])) same++;
    score += same;
    if (same < theirs.length || same < ours.length) parting ??= { place, kernel: theirs, walk: ours, same };
  }
  return { parting, score };
}

/** A header that is not all known to a walk has `?` for what is not. */
function alike(kernel: string | undefined, walk: string | undefined): boolean {
  if (kernel === undefined || walk === undefined) return false;
  if (kernel === walk) return true;
  const theirs = kernel.split(" ");
  const ours = walk.split(" ");
  const open = ours.at(-1) === andSo;
  if (open ? ours.length > theirs.length : ours.length !== theirs.length) return false;
  const host = (word: string) => word.slice(0, word.lastIndexOf(":"));
  return ours
    .slice(0, open ? -1 : undefined)
    .every((word, i) => word === theirs[i] || (word.includes(":?") && host(word) === host(theirs[i] ?? "")));
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

/**
 * The same lines of a walk's way, by places. Rules of iptables' old variant are left out: the kernel does not trace them.
 *
 * @param start the place where it begins.
 */
export function linesOfWalk({ state, outcome }: Ended, start: string): ReadonlyMap<string, readonly string[]> {
  let lines: string[] = [];
  const places = new Map([[start, lines]]);
  let hook: IpHook | undefined;
  let departed = false;
  let packed = false;
  const leave = (packet: Packet, by: string) => {
    // What goes to another place loses its mark on the way, and it is not told by what link it goes.
    const how = departed ? describe(packet).replace(/ mark .*/, ` ${andSo}`) : `${describe(packet)}${by}`;
    if (hook !== undefined) leaving.push(`  passes as ${how}`);
    hook = undefined;
    departed = false;
  };
  let leaving = lines;
  for (const step of stepsOf(state)) {
    if (step.kind === "place") {
      lines = places.get(step.place) ?? [];
      places.set(step.place, lines);
      departed = hook !== undefined;
    } else if (step.kind === "hook") {
      // The packet of a tunnel around this one is not traced.
      if (step.text.startsWith("the tunnel sends")) packed = true;
      if (step.text === "unpacked") packed = false;
      if (packed) continue;
      leave(step.packet, hook === "postrouting" ? " by lo" : "");
      leaving = lines;
      hook = ipHooks.find((each) => each === step.text);
      if (hook !== undefined) lines.push(hook, `  ${describe(step.packet)}`);
    } else if (step.kind === "link") {
      departed = hook !== undefined;
    } else if (step.kind === "policy" && !packed && !isLegacy(step.table)) {
      lines.push(`  ${step.family} ${step.table} ${step.chain} policy ${step.verdict}`);
    } else if (step.kind === "rule" && !packed && !isLegacy(step.table)) {
      lines.push(`  ${step.family} ${step.table} ${step.chain} rule ${step.handle} ${formatVerdict(step.verdict)}`);
    }
  }
  const stopped = outcome.kind === "dropped" || outcome.kind === "rejected" || outcome.kind === "unknown";
  if (!stopped && !packed) {
    // Where it is lost on a link, it is not told by which.
    if (hook === "postrouting" && !("to" in outcome)) departed = true;
    leave(state.packet, hook === "postrouting" && "interface" in outcome ? ` by ${outcome.interface}` : "");
  }
  return places;
}

/** Ends a line of which no more is known. */
const andSo = "…";

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

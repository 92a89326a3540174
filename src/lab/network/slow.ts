/**
 * The program that makes a wire slow where the kernel cannot (it lacks sch_netem): it takes ports out of the wire's
 * bridge, and carries their frames to and from pairs of its own in their place, each frame a while later. It works in
 * the network namespace in which it is started, until it is told to end; then everything is as it was.
 */
import { type FramePort, openLinkFrames } from "../../kernel/frames.ts";
import {
  createLink,
  deleteLink,
  findLink,
  listLinks,
  openRoute,
  setBridgePort,
  setLink,
} from "../../kernel/route/index.ts";
import { readSysctl, writeSysctl } from "../../kernel/sysctl.ts";
import { DelayLine } from "./delayline.ts";

/** What is to be slow, in milliseconds. */
export interface Slowness {
  /** Ports of the bridge, by name. */
  readonly ports: readonly string[];
  /** For frames that leave by these ports. */
  readonly out: number;
  /** For frames that come in by these ports. */
  readonly in: number;
  readonly jitter: number;
}

/** Milliseconds by which a frame may be too early: timers are no finer than that. */
const tolerance = 0.5;

/** A pair that stands in for a port: one end in the bridge, the other for the program. */
const endsOfPair = (i: number) => ({ plugged: `slow${i}`, held: `slow${i}held` });

/** Whether a link stands in the place of a port. */
export function standsIn(name: string): boolean {
  return /^slow\d+(held)?$/.test(name);
}

/** Has the ports of this namespace in its bridge again whose program ended badly, and nothing in their place. */
export function plugIn(): void {
  using socket = openRoute();
  for (const { name, index } of listLinks(socket)) if (/^slow\d+$/.test(name)) deleteLink(socket, index);
  const links = listLinks(socket);
  const bridge = links.find(({ kind }) => kind === "bridge");
  for (const { kind, index, master } of links) {
    if (bridge === undefined || kind !== "veth" || master !== undefined) continue;
    setLink(socket, index, { master: bridge.index });
    setBridgePort(socket, index, { hairpin: true });
  }
}

/** Carries frames from one port to another, each after its delay. */
function carry(from: FramePort, to: FramePort, line: DelayLine, gone: () => void): void {
  let timer: NodeJS.Timeout | undefined;
  const release = () => {
    timer = undefined;
    const now = performance.now() + tolerance;
    for (let frame = line.take(now); frame !== undefined; frame = line.take(now)) to.send(frame);
    wait();
  };
  const wait = () => {
    if (timer !== undefined || line.next === undefined) return;
    const left = line.next - performance.now() - tolerance;
    if (left <= 0) release();
    else timer = setTimeout(release, Math.max(1, Math.round(left)));
  };
  from.listen((frame) => {
    line.push(frame, performance.now());
    wait();
  }, gone);
}

/** Puts a pair in the place of a port. @returns what undoes that. */
function slowPort(name: string, i: number, slowness: Slowness): () => void {
  using socket = openRoute();
  const port = findLink(socket, name);
  if (port?.master === undefined) throw new Error(`${name} is no port of a bridge`);
  const { mtu } = port;
  const { plugged, held } = endsOfPair(i);
  createLink(socket, plugged, { kind: "veth", peer: { name: held, mtu } }, { mtu });
  const [inBridge, inHand] = [linkOf(plugged), linkOf(held)];
  silence(name);
  silence(held);
  setLink(socket, port.index, { master: 0 });
  setLink(socket, inHand, { up: true });
  setLink(socket, inBridge, { up: true, master: port.master });
  setBridgePort(socket, inBridge, { hairpin: true });
  const [outer, inner] = [openLinkFrames(port.index), openLinkFrames(inHand)];
  const end = () => {
    outer.close();
    inner.close();
  };
  const line = (delay: number) => new DelayLine(delay, delay === 0 ? 0 : slowness.jitter, Math.random);
  carry(inner, outer, line(slowness.out), end);
  carry(outer, inner, line(slowness.in), end);
  return end;
}

function linkOf(name: string): number {
  using socket = openRoute();
  const link = findLink(socket, name);
  if (link === undefined) throw new Error(`there is no link ${name}`);
  return link.index;
}

/** Keeps this namespace, whose own a link is now, from talking over it: no IPv6, no answers to ARP. */
function silence(link: string): void {
  for (const [name, value] of [
    [`net/ipv6/conf/${link}/disable_ipv6`, "1"],
    [`net/ipv4/conf/${link}/arp_ignore`, "8"],
  ] as const) {
    if (readSysctl(name) !== undefined) writeSysctl(name, value);
  }
}

if (import.meta.main) {
  const slowness = JSON.parse(process.argv[2] ?? "") as Slowness;
  const ends: (() => void)[] = [];
  const stop = (code: number) => {
    for (const end of ends) end();
    plugIn();
    process.exit(code);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop(0));
  try {
    for (const [i, name] of slowness.ports.entries()) ends.push(slowPort(name, i, slowness));
    process.stdout.write("ready\n");
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`, () => stop(1));
  }
}

/**
 * The program that makes a wire slow where the kernel cannot (it lacks sch_netem): it takes ports out of the wire's
 * bridge, and carries their frames to and from devices of its own in their place, each frame a while later. It works in
 * the network namespace in which it is started, until it is told to end; then everything is as it was.
 */
import { type FramePort, makeTap, openLinkFrames } from "../../kernel/frames.ts";
import { findLink, listLinks, openRoute, setBridgePort, setLink } from "../../kernel/route/index.ts";
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

/** Puts ports into the bridge of this namespace that are in none: those whose program ended badly. */
export function plugIn(): void {
  using socket = openRoute();
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

/** Puts a device in the place of a port. @returns what undoes that. */
function slowPort(name: string, i: number, slowness: Slowness): () => void {
  using socket = openRoute();
  const port = findLink(socket, name);
  if (port?.master === undefined) throw new Error(`${name} is no port of a bridge`);
  // The port is a link of the wire's own now, and the wire has nothing to say.
  const silent = `net.ipv6.conf.${name}.disable_ipv6`;
  if (readSysctl(silent) !== undefined) writeSysctl(silent, "1");
  const tap = makeTap(`slow${i}`);
  const device = findLink(socket, `slow${i}`);
  if (device === undefined) throw new Error("the kernel made no TAP device");
  setLink(socket, port.index, { master: 0 });
  const outer = openLinkFrames(port.index);
  setLink(socket, device.index, { up: true, mtu: port.mtu, master: port.master });
  setBridgePort(socket, device.index, { hairpin: true });
  const end = () => {
    tap.close();
    outer.close();
  };
  const line = (delay: number) => new DelayLine(delay, delay === 0 ? 0 : slowness.jitter, Math.random);
  carry(tap, outer, line(slowness.out), end);
  carry(outer, tap, line(slowness.in), end);
  return end;
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

/** A node with the ipvs mode at work, and a Service on it, for tests that run in a virtual machine: importing it makes the node. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Ipvs } from "../../src/kernel/ipvs/index.ts";
import { findXtables } from "../../src/kernel/xtables/xtables.ts";
import { parseAddress } from "../../src/net/address.ts";
import { IpvsMode } from "../../src/proxy/modes/ipvs/mode.ts";
import type { Desired } from "../../src/proxy/modes/mode.ts";
import { type Decision, decisionKey } from "../../src/service/decision.ts";
import { goldenDesired } from "../golden/iptables/objects.ts";

/** For calls that nothing ends early. */
export const signal = new AbortController().signal;
/** What the kernel has. */
export const ipvs = new Ipvs();
/** Milliseconds between two looks at endpoints that wait. */
export const drainEvery = 50;

// The node of the golden objects, which is its own endpoint in the other tests.
for (const command of [
  "link add eth0 type dummy",
  "link set eth0 up",
  "addr add 192.168.0.2/24 dev eth0",
  "addr add 192.168.0.3/24 dev eth0",
  "-6 addr add fd00:192::2/64 dev eth0 nodad",
  "route add default via 192.168.0.254",
]) {
  execFileSync("ip", command.split(" "));
}
/** Two endpoints, which greet and then echo. */
export const first = "192.168.0.2:8080";
export const second = "192.168.0.3:8080";
const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.write("hello");
  socket.pipe(socket);
}).listen(8080, "0.0.0.0");

/** Another process's mode, as it were. */
export async function makeMode(): Promise<IpvsMode> {
  const xtables = (await findXtables()).get("legacy");
  assert.ok(xtables);
  return new IpvsMode(xtables, undefined, drainEvery);
}

/** The mode at work. */
export const mode = await makeMode();

after(async () => {
  mode.close();
  ipvs.close();
  server.close();
});

/** What a program prints, without comments. */
export function lines(program: string, ...args: readonly string[]): readonly string[] {
  return execFileSync(program, args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** The address of the Service, and its virtual service. */
export const vip = parseAddress("10.96.0.10");
export const web = { kind: "address", address: vip, protocol: "TCP", port: 80 } as const;

/** A Service with these endpoints, `10.180.0.1:8080`, at 10.96.0.10:80. */
export function serviceOf(endpoints: readonly string[], change: Partial<Decision> = {}): Decision {
  const outcome = { kind: "balance", pool: "cluster", masquerade: false } as const;
  const refused = { kind: "reject" } as const;
  const is = endpoints.length > 0 ? outcome : refused;
  return {
    service: { namespace: "shop", name: "web", port: "http", protocol: "TCP" },
    family: "IPv4",
    frontEnds: [{ kind: "ClusterIP", address: vip, port: 80, outcomes: { pod: is, node: is, other: is } }],
    cluster: endpoints.map((text) => {
      const [address = "", port] = text.split(":");
      return { address: parseAddress(address), port: Number(port), local: false };
    }),
    local: [],
    affinitySeconds: 0,
    ...change,
  };
}

/** The same at 10.96.0.10:53 of UDP. */
export function dnsOf(endpoints: readonly string[]): Decision {
  const decision = serviceOf(endpoints);
  const frontEnds = decision.frontEnds.map((frontEnd) => ({ ...frontEnd, port: 53 }));
  return { ...decision, frontEnds, service: { ...decision.service, port: "dns", protocol: "UDP" } };
}

/** Runs a command without quotes. */
export function run(command: string): void {
  const [program = "", ...args] = command.split(" ");
  execFileSync(program, args);
}

/** A desired state of these decisions. */
export function desiredOf(...decisions: readonly Decision[]): Desired {
  const { settings } = goldenDesired();
  return { settings, decisions: new Map(decisions.map((each) => [decisionKey(each.service, each.family), each])) };
}

/** Applies a changed decision. */
export const change = (decision: Decision) => mode.apply(desiredOf(decision).decisions, signal);

/** The weights of the Service's destinations. */
export function weights(): Readonly<Record<string, number>> {
  return Object.fromEntries(ipvs.destinations(web).map(({ address, weight }) => [address, weight]));
}

/** Waits until something is so. */
export async function until(condition: () => boolean, what: string, patience = 2000): Promise<void> {
  for (const start = performance.now(); !condition(); await sleep(20)) {
    if (performance.now() - start > patience) assert.fail(`${what}: ${JSON.stringify(weights())}`);
  }
}

/** What becomes of a connection to the Service: what the server says first, or the error's code. */
export async function tryConnect(): Promise<string> {
  const socket = connect({ port: 80, host: vip, timeout: 1000 });
  try {
    return String((await once(socket, "data", { signal: AbortSignal.timeout(2000) }))[0]);
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  } finally {
    socket.destroy();
  }
}

/** A node between a client and a server, in network namespaces, and the packets that tests of single rules send. */
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { FirstPacket } from "../../src/kernel/sockets/firstpacket.ts";
import { parseAddress } from "../../src/net/address.ts";
import { capture, formatSnapshot, parseSnapshot, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { formatVerification } from "../../src/trace/verify/report.ts";
import { verify } from "../../src/trace/verify/verify.ts";
import { Cluster, type Question, type Walk } from "../../src/trace/walk/index.ts";
import { type Host, TestNetwork } from "../support/network.ts";

/** The three, gone with the test. */
export interface Between {
  /** 10.1.0.1 on eth0, 10.2.0.1 on eth1; it forwards. */
  readonly node: Host;
  /** 10.1.0.2, with its default route to the node. */
  readonly client: Host;
  /** 10.2.0.2, likewise. */
  readonly server: Host;
}

/** Makes the three. @param area what their namespaces are called by. */
export function nodeBetween(area: string): Between {
  const network = new TestNetwork(area);
  after(() => network.close());
  const node = network.host("node");
  const client = network.host("client");
  const server = network.host("server");
  network.join(node, "eth0", client, "eth0");
  network.join(node, "eth1", server, "eth0");
  node.forwarding();
  node.address("eth0", "10.1.0.1/24");
  node.address("eth1", "10.2.0.1/24");
  client.address("eth0", "10.1.0.2/24");
  server.address("eth0", "10.2.0.2/24");
  client.addRoute("default", { via: "10.1.0.1" });
  server.addRoute("default", { via: "10.2.0.1" });
  return { node, client, server };
}

export const from = parseAddress("10.1.0.2");
export const to = parseAddress("10.2.0.2");

/** What each rule is asked about. */
export const packets = [
  { name: "TCP 80", protocol: 6, destinationPort: 80 },
  { name: "UDP 53", protocol: 17, destinationPort: 53 },
  { name: "an echo request", protocol: 1, icmpType: 8 },
] as const;

/** Sends a packet from the client to the server, and waits for it to arrive. */
export async function send(
  client: Host,
  { protocol, destinationPort }: { readonly protocol: number; readonly destinationPort?: number },
): Promise<void> {
  const port = destinationPort === undefined ? {} : { destinationPort };
  const options = { family: "IPv4", protocol, source: from, destination: to, ...port } as const;
  using packet = inNamespace(client.namespace, () => new FirstPacket(options));
  packet.send();
  await sleep(30);
}

/** Snapshots of the three, the client's first, as documents say them that were written and read. */
export async function snapshots({ client, node, server }: Between): Promise<readonly Snapshot[]> {
  const taken = await Promise.all([client, node, server].map(({ namespace }) => capture(namespace)));
  return taken.map((each) => parseSnapshot(formatSnapshot(each), each.name));
}

/** Has the client send a packet. @returns the walk, of which one way is what the kernel did. @throws if none is. */
export async function verified(between: Between, packet: Question["packet"]): Promise<Walk> {
  const taken = await snapshots(between);
  const real = await verify(() => new Cluster(taken, 100_000), { packet }, AbortSignal.timeout(10_000));
  if (real.comparison.kind !== "agrees") throw new Error(formatVerification(real, (_, index) => String(index)));
  return real.walk;
}

import type { Tuple } from "../../kernel/conntrack/index.ts";
import { statusBit } from "../../kernel/conntrack/index.ts";
import { formatHostPort, type Protocol, protocolNumbers } from "../../net/protocol.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, some } from "../finding.ts";
import { addressesOf, endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

/** The protocols that are looked at. */
const protocols: Readonly<Record<number, Protocol>> = { [protocolNumbers.UDP]: "UDP", [protocolNumbers.TCP]: "TCP" };

/** A front end that packets are sent to, and where they may end. */
interface FrontEnd {
  readonly title: string;
  /** `address:port` of all endpoints, whatever their state. */
  readonly endpoints: ReadonlySet<string>;
  readonly usable: boolean;
  /** A node port: programs of the node may have a use for the same port of other addresses. */
  readonly nodePort: boolean;
}

/** Flows that the connection tracker sends where nobody is any more. */
export const staleConntrack: Check = {
  name: "stale-conntrack",
  about:
    "Whether the connection tracker remembers UDP flows to Services that lead to endpoints which are gone, or flows that lead nowhere.",
  seen: [
    "kubernetes/kubernetes#48370",
    "kubernetes/kubernetes#59368",
    "kubernetes/kubernetes#126130",
    "kubernetes/kubernetes#122740",
  ],
  run(facts) {
    const frontEnds = frontEndsOf(facts);
    const own = new Set(facts.snapshot.addresses.map(({ address }) => address));
    const stale = new Map<
      string,
      {
        readonly frontEnd: FrontEnd;
        readonly original: Tuple;
        readonly protocol: Protocol;
        readonly to: Pick<Tuple, "source" | "sourcePort">;
        readonly translated: boolean;
        clients: string[];
      }
    >();
    for (const { original, reply, status } of facts.snapshot.conntrack) {
      const protocol = protocols[original.protocol];
      if (protocol === undefined) continue;
      const at = key(original.destination, original.destinationPort);
      const frontEnd =
        frontEnds.get(`${at} ${protocol}`) ??
        (own.has(original.destination)
          ? frontEnds.get(`${key("node", original.destinationPort)} ${protocol}`)
          : undefined);
      if (frontEnd === undefined) continue;
      const to = key(reply.source, reply.sourcePort);
      const translated = (status & statusBit.destinationNat) !== 0 || to !== at;
      // TCP connections end with their endpoints; one that nobody has answered yet and nobody translates never will.
      const waits = !translated && (status & statusBit.seenReply) === 0 && facts.proxies.length > 0;
      if (protocol === "TCP" && !waits) continue;
      // Where the proxy itself answers, or programs of the node do, is their affair.
      if (translated ? own.has(reply.source) || frontEnd.endpoints.has(to) : frontEnd.nodePort || !frontEnd.usable)
        continue;
      const client = key(original.source, original.sourcePort);
      const before = stale.get(`${at} ${to} ${protocol}`);
      if (before === undefined)
        stale.set(`${at} ${to} ${protocol}`, {
          frontEnd,
          original,
          protocol,
          to: reply,
          translated,
          clients: [client],
        });
      else before.clients.push(client);
    }
    return [...stale.values()].map(({ frontEnd, original, protocol, to, translated, clients }) => {
      const port = original.destinationPort ?? 0;
      const goal = key(to.source, to.sourcePort);
      const what = translated
        ? `are still sent to ${goal}, which is no endpoint of it any more`
        : "are not translated, for their connection is older than the Service's rules";
      return {
        severity: "error",
        subject: `${frontEnd.title} ${key(original.destination, port)}/${protocol}${translated ? ` to ${goal}` : ""}`,
        message: `${protocol} packets from ${some(clients)} to ${frontEnd.title} (${key(original.destination, port)}) ${what}: these clients get no answer as long as they keep their source port.`,
        remedy: "have the connection tracker forget them; the next packet is translated anew",
        run: [
          // Without --reply-src those that work would be forgotten, too.
          command`conntrack -D -p ${protocol.toLowerCase()} --orig-dst ${original.destination} --orig-port-dst ${port} --reply-src ${to.source}`,
        ],
      };
    });
  },
};

function frontEndsOf({ cluster }: Facts): ReadonlyMap<string, FrontEnd> {
  const found = new Map<string, FrontEnd>();
  if (cluster === undefined) return found;
  const slices = slicesByService(cluster);
  for (const service of cluster.services) {
    for (const { name, protocol, port, nodePort } of service.ports) {
      if (protocol === "SCTP") continue;
      const behind = endpointsOf(slices.get(serviceTitle(service)) ?? [], { name, protocol });
      const endpoints = new Set(behind.map((endpoint) => key(endpoint.address, endpoint.port)));
      const frontEnd = { title: serviceTitle(service), endpoints, usable: behind.some(isUsable) };
      for (const address of addressesOf(service))
        found.set(`${key(address, port)} ${protocol}`, { ...frontEnd, nodePort: false });
      if (nodePort > 0) found.set(`${key("node", nodePort)} ${protocol}`, { ...frontEnd, nodePort: true });
    }
  }
  return found;
}

function key(address: string, port = 0): string {
  return formatHostPort(address, port);
}

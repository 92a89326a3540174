/** Packets that checks follow through a node as it is, without sending any: between pods, and to Services. */
import { type Address, type Family, families, familyOf } from "../net/address.ts";
import { protocolNumbers } from "../net/protocol.ts";
import { entrance } from "../trace/ask/index.ts";
import type { CheckedPod } from "../trace/snapshot/objects.ts";
import { Cluster, type Ended, type Question, type State, walkCluster } from "../trace/walk/index.ts";
import type { Facts } from "./facts.ts";
import { command } from "./finding.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "./services.ts";

/** What is followed of each kind and family at most: rules of one node treat pods, and Services, alike. */
const most = { services: 3, nodes: 3 };
/** Rules that all walks through a node together may look at. */
const steps = 1_000_000;
/** A port that nobody uses. */
const sourcePort = 61_999;

/** A packet, and whose it is. */
export interface Asked {
  /** `from pod shop/web-1 to pod shop/web-2`. */
  readonly title: string;
  readonly question: Question;
  /** The command that follows it. */
  readonly trace: string;
}

const clusters = new WeakMap<Facts, Cluster>();

/** What is made of the node once, for all that is followed. */
function clusterOf(facts: Facts): Cluster {
  const cluster = clusters.get(facts) ?? new Cluster([facts.snapshot], steps);
  clusters.set(facts, cluster);
  return cluster;
}

/** All ways that a packet may go on this node. */
export function endsOf(facts: Facts, question: Question): readonly Ended[] {
  return walkCluster(clusterOf(facts), question).ends;
}

/** The first packet of a connection. @param input the interface that it comes in by; none for this node's own. */
export function firstPacket(
  packet: {
    readonly family: Family;
    readonly source?: Address;
    readonly destination: Address;
    readonly destinationPort: number;
    /** TCP if not given. */
    readonly protocol?: number;
  },
  input?: string,
): Question {
  return {
    ...(input !== undefined && { input }),
    packet: { protocol: protocolNumbers.TCP, ...packet, sourcePort },
  };
}

/** The packet, or that in the tunnel. */
export function carried(state: State): State {
  return state.inner === undefined ? state : carried(state.inner.state);
}

/** From a pod of this node to pods of three others and to a second one of its own, and from those others to it. */
export function betweenPods(facts: Facts): readonly Asked[] {
  const { node } = facts;
  if (node === undefined) return [];
  const pods = followedPods(facts);
  const far = [...Map.groupBy(pods, (pod) => pod.node)]
    .filter(([name]) => name !== "" && name !== node.name)
    .slice(0, most.nodes)
    .flatMap(([, [first]]) => first ?? []);
  return families.flatMap((family) => {
    const own = pods.filter((pod) => pod.node === node.name && addressOf(pod, family) !== undefined);
    const [first, second] = own;
    if (first === undefined) return [];
    const ask = (from: CheckedPod, to: CheckedPod): readonly Asked[] => {
      const destination = addressOf(to, family);
      if (destination === undefined) return [];
      const destinationPort = to.ports.find(({ protocol }) => protocol === "TCP")?.port ?? 80;
      return fromPod(facts, from, { family, destination, destinationPort }).map((question) => ({
        title: `from pod ${from.namespace}/${from.name} to pod ${to.namespace}/${to.name}`,
        question,
        trace: command`portolan trace ${`${from.namespace}/${from.name}`} ${`${to.namespace}/${to.name}:${destinationPort}`}`,
      }));
    };
    const outward = [...far, ...(second === undefined ? [] : [second])].flatMap((to) => ask(first, to));
    return [...outward, ...far.flatMap((from) => ask(from, first))];
  });
}

/** From this node, and from a pod of it, to the cluster IPs of three Services that have endpoints everywhere. */
export function toServices(facts: Facts, family: Family): readonly Asked[] {
  const { cluster, node } = facts;
  if (cluster === undefined || node === undefined) return [];
  const slices = slicesByService(cluster);
  const pod = followedPods(facts).find((each) => each.node === node.name && addressOf(each, family) !== undefined);
  const packets = cluster.services
    .filter(({ internalTrafficPolicy }) => internalTrafficPolicy === "Cluster")
    .values()
    .flatMap((service) => {
      const port = service.ports.find((each) =>
        endpointsOf(slices.get(serviceTitle(service)) ?? [], each).some(
          (endpoint) => isUsable(endpoint) && familyOf(endpoint.address) === family,
        ),
      );
      const destination = service.clusterIPs.find((address) => familyOf(address) === family);
      if (port === undefined || destination === undefined) return [];
      const packet = { family, destination, destinationPort: port.port, protocol: protocolNumbers[port.protocol] };
      return [
        {
          title: `${serviceTitle(service)} (${destination} port ${port.port}/${port.protocol})`,
          packet,
          to: `svc/${service.namespace}/${service.name}:${port.port}/${port.protocol.toLowerCase()}`,
        },
      ];
    })
    .take(most.services);
  return [...packets].flatMap(({ title, packet, to }) => [
    { title: `from this node to ${title}`, question: firstPacket(packet), trace: command`portolan trace node ${to}` },
    ...(pod === undefined ? [] : fromPod(facts, pod, packet)).map((question) => ({
      title: `from pod ${pod?.namespace}/${pod?.name} to ${title}`,
      question,
      trace: command`portolan trace ${`${pod?.namespace}/${pod?.name}`} ${to}`,
    })),
  ]);
}

function followedPods({ cluster }: Facts): readonly CheckedPod[] {
  return cluster?.pods.filter((pod) => !pod.hostNetwork && !pod.deleting && pod.phase === "Running") ?? [];
}

/** A pod's packet, if it can be told where it comes in. */
function fromPod(
  facts: Facts,
  pod: CheckedPod,
  packet: Omit<Parameters<typeof firstPacket>[0], "source">,
): readonly Question[] {
  const [world] = clusterOf(facts).worlds;
  const source = addressOf(pod, packet.family);
  if (world === undefined || source === undefined) return [];
  const answer = world.routing.find({ destination: source, mark: 0 });
  const hop = answer.kind === "route" && answer.route.type === "unicast" ? answer.route.nextHops[0] : undefined;
  const link = entrance(world, source) ?? world.link(hop?.interface);
  if (link === undefined || link.kind === "bridge" || link.loopback) return [];
  return [firstPacket({ ...packet, source }, link.name)];
}

function addressOf({ addresses }: CheckedPod, family: Family): Address | undefined {
  return addresses.find((address) => familyOf(address) === family);
}

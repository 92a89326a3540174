/** Which virtual service a packet is for, and which of its destinations may get it (`net/netfilter/ipvs/ip_vs_ctl.c`). */
import { type CountedDestination, formatService, serviceFlag } from "../../../kernel/ipvs/index.ts";
import type { BalancedService, Balancer } from "../../snapshot/types.ts";
import { type Packet, protocolNumber } from "../packet.ts";
import type { World } from "../world.ts";
import { hashed, tableSize } from "./hash.ts";

/** FTP announces connections for data within its own. */
export const ftpPort = 21;
const ftpDataPort = 20;

/** The port that a packet gets: its own where the destination has none, or where it is not that of the service. */
export function portAt(
  { key, flags }: BalancedService,
  destination: CountedDestination,
  packet: Packet,
): number | undefined {
  const port = packet.destinationPort;
  const persistent = (flags & serviceFlag.persistent) !== 0;
  const servicePort = key.kind === "mark" ? 0 : key.port;
  if (destination.port === 0) return port;
  return persistent && port !== servicePort ? port : destination.port;
}

/** The services of a balancer by key. */
const indexes = new WeakMap<Balancer, ReadonlyMap<string, BalancedService>>();

function indexOf(balancer: Balancer): ReadonlyMap<string, BalancedService> {
  const known = indexes.get(balancer);
  if (known !== undefined) return known;
  const index = new Map(balancer.services.map((service) => [formatService(service.key), service]));
  indexes.set(balancer, index);
  return index;
}

const protocolNames: Readonly<Record<number, "TCP" | "UDP" | "SCTP">> = {
  [protocolNumber.tcp]: "TCP",
  [protocolNumber.udp]: "UDP",
  [protocolNumber.sctp]: "SCTP",
};

/** The service for a packet: by its mark, by address and port, by the address alone (`ip_vs_service_find`). */
export function serviceFor(balancer: Balancer | undefined, packet: Packet): BalancedService | "open" | undefined {
  const protocol = protocolNames[packet.protocol];
  if (balancer === undefined || protocol === undefined) return undefined;
  const { mark, family, destination: address, destinationPort } = packet;
  const index = indexOf(balancer);
  const byMark = mark === 0 ? undefined : index.get(formatService({ kind: "mark", family, mark }));
  if (byMark !== undefined) return byMark;
  const at = (port: number) => index.get(formatService({ kind: "address", address, protocol, port }));
  if (destinationPort === undefined) {
    const any = balancer.services.some(
      ({ key }) => key.kind === "address" && key.address === address && key.protocol === protocol,
    );
    return any ? "open" : undefined;
  }
  const exact = at(destinationPort);
  if (exact !== undefined) return exact;
  // Connections for data that an FTP server named: only for ports that need no privilege.
  const isData = protocol === "TCP" && (destinationPort === ftpDataPort || destinationPort >= 1024);
  return (isData ? at(ftpPort) : undefined) ?? at(0);
}

interface Choice {
  readonly destination: CountedDestination;
  /** The part of all new connections. */
  readonly share: number;
  readonly choice?: string;
}

/** Schedulers that give each destination as many connections as its weight says, in the long run. */
const weighted = new Set(["wrr", "wlc", "sed", "nq", "twos", "sh", "mh"]);
/** Schedulers whose hash is not followed, and may fall on a destination that takes nothing. */
const hashing = new Set(["sh", "mh"]);

/** Whom the scheduler may choose; what it chose before, and the count of connections later, are not known. */
export function schedule(
  service: BalancedService,
  packet: Packet,
  world: World,
): { readonly choices: readonly Choice[]; readonly how: string; readonly none?: string } {
  const { scheduler, flags, destinations, timeout } = service;
  const usable = destinations.filter(takes);
  const sticky =
    (flags & serviceFlag.persistent) === 0 ? "" : `, unless it remembers the client, which it does for ${timeout} s`;
  const how = `${scheduler}${sticky}`;
  if (scheduler === "fo" || scheduler === "ovf") {
    const open = usable.filter(({ active, weight }) => scheduler === "fo" || active <= weight);
    const best = open.reduce<CountedDestination | undefined>(
      (found, each) => (found === undefined || each.weight > found.weight ? each : found),
      undefined,
    );
    return { choices: best === undefined ? [] : [{ destination: best, share: 1 }], how };
  }
  if (scheduler === "sh" || scheduler === "dh") {
    const destination = hashed(service, packet, takes);
    if (destination !== "open") {
      const whose = scheduler === "sh" ? "client's" : "service's";
      return {
        choices: destination === undefined ? [] : [{ destination, share: 1 }],
        how: `${scheduler}, by the ${whose} address in a table of ${tableSize}${sticky}`,
      };
    }
  }
  if (!world.spend(usable.length)) {
    return { choices: [], how, none: "IPVS chooses somebody; the choices are too many to follow" };
  }
  const part = ({ weight }: CountedDestination) => (weighted.has(scheduler) ? weight : 1);
  const sum = usable.reduce((total, each) => total + part(each), 0);
  const closed = destinations.length > usable.length && usable.length > 0;
  const mayMiss = closed && hashing.has(scheduler) && (flags & serviceFlag.hashFallback) === 0;
  return {
    choices: usable.map((destination) => ({
      destination,
      share: part(destination) / sum,
      ...(usable.length > 1 && { choice: `1 of ${usable.length}` }),
    })),
    how,
    ...(mayMiss && { none: `the hash of IPVS (${scheduler}) falls on a destination that takes no new connections` }),
  };
}

/** Whether a destination takes new connections. */
function takes({ weight, active, inactive, upperThreshold }: CountedDestination): boolean {
  return weight > 0 && (upperThreshold === undefined || active + inactive < upperThreshold);
}

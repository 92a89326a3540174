/**
 * Which entries of the connection tracker lead UDP clients to endpoints that no longer serve. UDP has no end of a
 * connection, so a client that goes on sending keeps such an entry alive, and never gets to another endpoint. TCP and
 * SCTP need no help.
 */
import type { Address, Family } from "../net/address.ts";
import type { FrontEnd } from "./decision.ts";

/** What matters of a UDP entry. */
export interface UdpEntry {
  /** Where the client sends to. */
  readonly originalDestination: Address;
  readonly originalDestinationPort: number;
  /** Where the replies come from: the endpoint, or `originalDestination` where nothing was translated. */
  readonly replySource: Address;
}

/** What matters of a UDP service port in one family. */
export interface UdpService {
  readonly family: Family;
  readonly frontEnds: readonly FrontEnd[];
  /** The addresses of all endpoints that serve, whatever traffic policies and topology make of them. */
  readonly serving: ReadonlySet<Address>;
}

/**
 * Tells the entries that are to be deleted: those to a front end of one of these services whose replies come from none
 * of its serving endpoints. A node port is looked for at every address. Services without a serving endpoint are passed
 * over: their entries have nowhere better to go. Traffic policies, topology and termination do not matter, so a change
 * of a Service cuts no flow that still works.
 *
 * An entry's fate depends on its own service port only. So after a full search it is enough to search for those service
 * ports that were touched since, to the same effect.
 *
 * @returns true for an entry, of any address of the family, that is to be deleted.
 */
export function staleUdp(family: Family, services: Iterable<UdpService>): (entry: UdpEntry) => boolean {
  const byAddress = new Map<string, ReadonlySet<Address>>();
  const byNodePort = new Map<number, ReadonlySet<Address>>();
  for (const service of services) {
    if (service.family !== family || service.serving.size === 0) continue;
    for (const frontEnd of service.frontEnds) {
      if (frontEnd.kind === "NodePort") byNodePort.set(frontEnd.port, service.serving);
      else byAddress.set(`${frontEnd.address}/${frontEnd.port}`, service.serving);
    }
  }
  return ({ originalDestination, originalDestinationPort, replySource }) =>
    byAddress.get(`${originalDestination}/${originalDestinationPort}`)?.has(replySource) === false ||
    byNodePort.get(originalDestinationPort)?.has(replySource) === false;
}

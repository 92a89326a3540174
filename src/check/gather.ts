/** Gathers the insides of a node's pods, for its facts. Reads only. */
import { listNamespaces } from "../kernel/namespace.ts";
import { listAddresses, listLinks, namespaceNumber, openRoute } from "../kernel/route/index.ts";
import { listListeningSockets } from "../kernel/sockets/listening.ts";
import { isLoopback } from "../net/address.ts";
import type { Snapshot } from "../trace/snapshot/index.ts";
import type { PodInside } from "./facts.ts";

/** Namespaces that are looked into at most. */
const mostInsides = 1000;

/**
 * The insides of the namespaces whose wires end in the node of a snapshot, pods and others, as far as they have names on
 * this machine (those of container runtimes do).
 *
 * @param namespace the node's own namespace; undefined: the calling thread's.
 */
export function lookInside({ links }: Snapshot, namespace?: string): readonly PodInside[] {
  const leading = new Set(links.filter(({ kind }) => kind === "veth").map(({ linkNamespace }) => linkNamespace));
  leading.delete(undefined);
  if (leading.size === 0) return [];
  using node = openRoute(namespace);
  return listNamespaces()
    .slice(0, mostInsides)
    .flatMap((name) => {
      try {
        const number = namespaceNumber(node, name);
        if (number === undefined || !leading.has(number)) return [];
        using route = openRoute(name);
        const addresses = listAddresses(route).filter(({ address, scope }) => scope === 0 && !isLoopback(address));
        return [
          {
            namespace: name,
            number,
            addresses: addresses.map(({ address }) => address),
            links: listLinks(route),
            sockets: listListeningSockets(name),
          },
        ];
      } catch {
        // It went while we looked.
        return [];
      }
    });
}

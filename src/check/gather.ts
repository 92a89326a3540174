/** Gathers the facts about a node: its snapshot, the objects of its cluster, and the insides of its pods. Reads only. */
import { listNamespaces } from "../kernel/namespace.ts";
import { listAddresses, listLinks, namespaceNumber, openRoute } from "../kernel/route/index.ts";
import { listListeningSockets } from "../kernel/sockets/listening.ts";
import { type KubeClient, resourcePath } from "../kube/client.ts";
import { isFields } from "../kube/objects/fields.ts";
import type { Resource } from "../kube/objects/resource.ts";
import { isLoopback } from "../net/address.ts";
import { servedLabels } from "../service/policy.ts";
import type { Snapshot } from "../trace/snapshot/index.ts";
import type { PodInside } from "./facts.ts";
import { type ClusterObjects, checkedNodes, checkedPods, checkedServices, checkedSlices } from "./objects.ts";

/** Namespaces that are looked into at most. */
const mostInsides = 1000;
/** Objects that the API gives at once. */
const page = 1000;

/** The objects that checks look at. Malformed ones are left out. @throws what the client throws. */
export async function readObjects(client: KubeClient, signal: AbortSignal): Promise<ClusterObjects> {
  const list = async <T>(resource: Resource<T>, labelSelector?: string): Promise<readonly T[]> => {
    const found: T[] = [];
    for (let next: string | undefined; ; ) {
      const query = { limit: page, labelSelector, continue: next };
      const answer = await client.send({ path: resourcePath(resource), query }, signal);
      const items = isFields(answer) && Array.isArray(answer.items) ? answer.items : [];
      for (const raw of items) {
        const projected = resource.project(raw);
        if (projected.outcome === "object") found.push(projected.object);
      }
      const metadata = isFields(answer) && isFields(answer.metadata) ? answer.metadata : {};
      if (typeof metadata.continue !== "string" || metadata.continue === "") return found;
      next = metadata.continue;
    }
  };
  // Services come first: of what the others say later, nothing is older.
  const services = await list(checkedServices, servedLabels);
  const [slices, pods, nodes] = await Promise.all([list(checkedSlices), list(checkedPods), list(checkedNodes)]);
  return { services, slices, pods, nodes };
}

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

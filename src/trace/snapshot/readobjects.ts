/** Reads the objects of a cluster that traces and checks want to know of. */
import { type KubeClient, resourcePath } from "../../kube/client.ts";
import { isFields } from "../../kube/objects/fields.ts";
import type { Resource } from "../../kube/objects/resource.ts";
import { servedLabels } from "../../service/policy.ts";
import { type ClusterObjects, checkedNodes, checkedPods, checkedServices, checkedSlices } from "./objects.ts";

/** Objects that the API gives at once. */
const page = 1000;

/** The objects of a cluster. Malformed ones are left out. @throws what the client throws. */
export async function readObjects(client: KubeClient, signal: AbortSignal): Promise<ClusterObjects> {
  const list = <T>(resource: Resource<T>, labelSelector?: string) => listAll(client, resource, signal, labelSelector);
  // Services come first: of what the others say later, nothing is older.
  const services = await list(checkedServices, servedLabels);
  const [slices, pods, nodes] = await Promise.all([list(checkedSlices), list(checkedPods), list(checkedNodes)]);
  return { services, slices, pods, nodes };
}

/** All objects of a resource, page by page. Malformed ones are left out. @throws what the client throws. */
export async function listAll<T>(
  client: KubeClient,
  resource: Resource<T>,
  signal: AbortSignal,
  labelSelector?: string,
): Promise<readonly T[]> {
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
}

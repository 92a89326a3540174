/** What makes the pods of a cluster, and how many it is told to make: no pods may be meant. */
import type { KubeClient } from "../kube/client.ts";
import { Problems } from "../kube/objects/fields.ts";
import type { Resource } from "../kube/objects/resource.ts";
import { fieldsOf, textsOf } from "../trace/snapshot/objects.ts";
import { listAll } from "../trace/snapshot/readobjects.ts";

/** A Deployment or StatefulSet. */
export interface Workload {
  readonly kind: "Deployment" | "StatefulSet";
  readonly namespace: string;
  readonly name: string;
  /** How many pods it is to have. */
  readonly replicas: number;
  /** The labels that its pods get. */
  readonly labels: Readonly<Record<string, string>>;
}

/** All of a cluster, of the kinds that can be read: few who may list Services may list these. */
export async function readWorkloads(client: KubeClient, signal: AbortSignal): Promise<readonly Workload[]> {
  const lists = kinds.map((kind) => listAll(client, workloads(kind), signal).catch(() => []));
  return (await Promise.all(lists)).flat();
}

const kinds = ["Deployment", "StatefulSet"] as const;

function workloads(kind: Workload["kind"]): Resource<Workload> {
  return {
    ...{ group: "apps", version: "v1", kind, plural: `${kind.toLowerCase()}s`, namespaced: true },
    project(raw) {
      const problems = new Problems();
      const root = problems.fields(kind, raw);
      const metadata = problems.fields("metadata", root.metadata);
      const spec = problems.fields("spec", root.spec);
      const workload: Workload = {
        kind,
        namespace: problems.name("metadata.namespace", metadata.namespace, "label"),
        name: problems.name("metadata.name", metadata.name, "subdomain"),
        replicas: typeof spec.replicas === "number" ? spec.replicas : 1,
        labels: textsOf(fieldsOf(fieldsOf(spec.template).metadata).labels),
      };
      return problems.result(() => workload);
    },
  };
}

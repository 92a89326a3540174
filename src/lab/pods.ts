/** The pods of a lab, as people want to see them. */
import { KubeClient, resourcePath } from "../kube/client.ts";
import { findCluster } from "../kube/kubeconfig.ts";
import { isFields, noFields } from "../kube/objects/fields.ts";
import { pods as podResource } from "./kubelet/pod.ts";
import type { LabFolder } from "./state.ts";

/** A pod in a few words. */
export interface PodSummary {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly addresses: readonly string[];
  /** `Ready`, `Terminating`, or its phase. */
  readonly state: string;
}

/** A client of a lab's API server, to be destroyed after use. */
export function labClient(folder: LabFolder): KubeClient {
  return new KubeClient(findCluster({ kubeconfig: folder.kubeconfig }));
}

/** All pods of a lab, as its API server knows them. */
export async function podsOf(folder: LabFolder, signal: AbortSignal): Promise<readonly PodSummary[]> {
  const client = labClient(folder);
  try {
    const list = await client.send({ path: resourcePath(podResource) }, signal);
    const items = isFields(list) && Array.isArray(list.items) ? list.items : [];
    return items.flatMap((raw) => {
      const projected = podResource.project(raw);
      if (projected.outcome !== "object") return [];
      const { namespace, name, node, conditions, deletion, phase } = projected.object;
      const status = isFields(raw) && isFields(raw.status) ? raw.status : noFields;
      const ips = Array.isArray(status.podIPs) ? status.podIPs : [];
      const addresses = ips.flatMap((entry) => (isFields(entry) && typeof entry.ip === "string" ? [entry.ip] : []));
      const ready = conditions.includes("Ready") ? "Ready" : phase || "Pending";
      return [{ namespace, name, node, addresses, state: deletion === undefined ? ready : "Terminating" }];
    });
  } finally {
    await client.destroy();
  }
}

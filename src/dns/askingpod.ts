/** A pod that asks: how its resolver goes about names. */
import { type Fields, Problems } from "../kube/objects/fields.ts";
import type { Resource } from "../kube/objects/resource.ts";
import type { Source } from "../kube/source.ts";
import type { Address } from "../net/address.ts";
import type { Resolver } from "./explain.ts";
import { tryParseName } from "./wire/names.ts";

/** What a pod's resolv.conf is made of (Kubernetes' "DNS for Services and Pods"). */
export interface AskingPod {
  readonly namespace: string;
  readonly name: string;
  /** Undefined while it has none. */
  readonly address: Address | undefined;
  /** `ClusterFirst`, `None`, ...; of a pod in the network of its node, what that comes to. */
  readonly policy: string;
  /** `dnsConfig.searches`, absolute. */
  readonly searches: readonly string[];
  /** `ndots` of `dnsConfig.options`; undefined if it has none. */
  readonly ndots: number | undefined;
}

const askingPods: Resource<AskingPod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  namespaced: true,
  project(raw) {
    const problems = new Problems();
    const root = problems.fields("Pod", raw);
    const metadata = problems.fields("metadata", root.metadata);
    const spec = problems.fields("spec", root.spec);
    const config = problems.fields("spec.dnsConfig", spec.dnsConfig);
    const [ndots] = problems.each("spec.dnsConfig.options", config.options, (path, item): number | undefined => {
      const option: Fields = problems.fields(path, item);
      const value = problems.text(`${path}.value`, option.value);
      return option.name === "ndots" && /^\d{1,3}$/.test(value) ? Number(value) : undefined;
    });
    const policy = problems.text("spec.dnsPolicy", spec.dnsPolicy) || "ClusterFirst";
    const onNode = problems.flag("spec.hostNetwork", spec.hostNetwork, false);
    const ip = problems.fields("status", root.status).podIP;
    const pod: AskingPod = {
      namespace: problems.name("metadata.namespace", metadata.namespace, "label"),
      name: problems.name("metadata.name", metadata.name, "subdomain"),
      address: ip === undefined || ip === "" ? undefined : problems.address("status.podIP", ip),
      policy: onNode && policy === "ClusterFirst" ? "Default" : policy,
      searches: problems.each("spec.dnsConfig.searches", config.searches, (path, item) =>
        tryParseName(problems.text(path, item))?.toLowerCase(),
      ),
      ndots,
    };
    return problems.result(() => pod);
  },
};

/** Finds a pod; undefined if there is none of that name when all were seen. Rejected when the signal is aborted. */
export function findAskingPod(
  source: Source,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<AskingPod | undefined> {
  const found = new AbortController();
  return new Promise<AskingPod | undefined>((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("the cluster's pods could not be read in time")));
    let pod: AskingPod | undefined;
    source.watch(
      {
        resource: askingPods,
        selection: { namespace, fields: `metadata.name=${name}` },
        onEvents(events) {
          for (const { object } of events) pod = object;
        },
        onSynced: () => resolve(pod),
      },
      AbortSignal.any([signal, found.signal]),
    );
  }).finally(() => found.abort());
}

/**
 * How the resolver of a pod is set up.
 *
 * @param zone the cluster's, without a final dot.
 * @returns undefined if the pod does not ask the cluster's DNS, but the name servers of its node.
 */
export function resolverOf({ namespace, policy, searches, ndots }: AskingPod, zone: string): Resolver | undefined {
  if (policy === "Default") return undefined;
  // resolv.conf(5): without the option a name with a dot is asked for as it is first.
  if (policy === "None") return { search: searches, ndots: ndots ?? 1 };
  const cluster = [`${namespace}.svc.${zone}.`, `svc.${zone}.`, `${zone}.`];
  return { search: [...new Set([...cluster, ...searches])], ndots: ndots ?? 5 };
}

import { type Address, familyOf } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixContains, prefixFamily } from "../../net/prefix.ts";
import { chains as names } from "../../proxy/modes/iptables/names.ts";
import type { Facts } from "../facts.ts";
import { type Check, some } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";

/** Chains that are looked into: all say the same. */
const enough = 200;

/** A proxy that takes pods for strangers. */
export const clusterCidr: Check = {
  name: "cluster-cidr",
  about: "Whether the addresses that the proxy takes for those of pods (clusterCIDR) are those of this node's pods.",
  seen: ["kubernetes/kubernetes#44916", "kubernetes/kubernetes#24224", "kubernetes/kubernetes#36652"],
  run(facts) {
    return facts.proxies.flatMap((proxy) => {
      const told = detected(facts, proxy);
      if (told.length === 0) return [];
      const strangers = podAddresses(facts).filter(
        (address) => familyOf(address) === proxy.family && !told.some((prefix) => prefixContains(prefix, address)),
      );
      if (strangers.length === 0) return [];
      return [
        {
          severity: "warning" as const,
          subject: proxy.title,
          message: `${proxy.title} takes ${told.join(", ")} for the addresses of pods, and pods of this node have others (${some(strangers)}): their requests to Services are masqueraded, so servers and network policies see the node's address instead of the pod's.`,
          remedy: "in the proxy's configuration, clusterCIDR: the prefix that all pods of all nodes are in",
          run: ["kubectl get nodes -o jsonpath='{.items[*].spec.podCIDRs}'"],
        },
      ];
    });
  },
};

function podAddresses({ cluster, node, podPrefixes, podBridges, snapshot }: Facts): readonly Address[] {
  const pods = cluster?.pods.filter((pod) => pod.node === node?.name && !pod.hostNetwork && !pod.deleting) ?? [];
  if (node !== undefined && pods.length > 0) return pods.flatMap(({ addresses }) => addresses);
  if (podPrefixes.length > 0) return podPrefixes.map(prefixAddress);
  return snapshot.addresses
    .filter((each) => podBridges.some(({ index }) => index === each.interface))
    .map(({ address }) => address);
}

/** The prefixes that a proxy's rules take for pods'; none where it tells pods by other means. */
function detected({ chains }: Facts, { kind, variant, family, table: own }: ProxyFound): readonly Prefix[] {
  const table = family === "IPv4" ? "ip" : "ip6";
  const of = (wanted: (name: string) => boolean) =>
    chains
      .filter(
        (chain) => chain.variant === variant && chain.family === table && chain.table === own && wanted(chain.name),
      )
      .slice(0, enough);
  const prefixes = new Set<Prefix>();
  const add = (prefix: Prefix | undefined) =>
    prefix !== undefined && prefixFamily(prefix) === family && prefixes.add(prefix);
  if (kind === "portolan") {
    for (const { rules } of of((name) => name === "masquerade-by-client")) {
      for (const { conditions, decided } of rules)
        if (decided.kind === "goto" && conditions.source?.not === false) add(conditions.source.value);
    }
    return [...prefixes];
  }
  const [isService, mark] =
    kind === "kube-proxy" ? [/^service-/, "mark-for-masquerade"] : [/^KUBE-(SVC|SVL)-/, names.markMasq];
  for (const { rules } of of((name) => isService.test(name))) {
    for (const { conditions, decided } of rules) {
      if (decided.kind === "jump" && decided.chain === mark && conditions.source?.not === true)
        add(conditions.source.value);
    }
  }
  return [...prefixes];
}

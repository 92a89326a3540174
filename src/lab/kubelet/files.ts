/** The files of /etc that a pod has of its own: pure. */
import type { Address } from "../../net/address.ts";
import { clusterDomain, dnsAddress } from "../plan/addresses.ts";
import type { Pod } from "./pod.ts";

/** Its /etc/hosts. @param hostname of the pod, or of its node where it is in the node's network. */
export function hostsFile(
  { namespace, subdomain, hostAliases }: Pick<Pod, "namespace" | "subdomain" | "hostAliases">,
  addresses: readonly Address[],
  hostname: string,
): string {
  const full = subdomain === "" ? "" : `${hostname}.${subdomain}.${namespace}.svc.${clusterDomain} `;
  const lines = [
    "127.0.0.1 localhost",
    "::1 localhost",
    ...addresses.map((address) => `${address} ${full}${hostname}`),
    ...hostAliases.map(({ ip, names }) => [ip, ...names].join(" ")),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/**
 * Its resolv.conf, as its dnsPolicy and dnsConfig want it
 * (https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/). Outside of the cluster there is nobody to
 * ask.
 */
export function resolverFile({
  namespace,
  dnsPolicy,
  dns,
  hostNetwork,
}: Pick<Pod, "namespace" | "dnsPolicy" | "dns" | "hostNetwork">): string {
  const cluster = dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && !hostNetwork);
  const usual = cluster
    ? {
        nameservers: [dnsAddress],
        searches: [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain],
        options: [{ name: "ndots", value: "5" }],
      }
    : { nameservers: [], searches: [], options: [] };
  const searches = new Set([...usual.searches, ...dns.searches]);
  const options = new Map([...usual.options, ...dns.options].map(({ name, value }) => [name, value]));
  return [
    ...new Set([...usual.nameservers, ...dns.nameservers].map((server) => `nameserver ${server}`)),
    ...(searches.size > 0 ? [`search ${[...searches].join(" ")}`] : []),
    ...(options.size > 0
      ? [`options ${Array.from(options, ([name, value]) => (value === "" ? name : `${name}:${value}`)).join(" ")}`]
      : []),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

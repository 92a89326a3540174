import { addressFromBytes, addressLength, type Family, tryParseAddress } from "../../net/address.ts";
import { formatHostPort } from "../../net/protocol.ts";
import { endpointChain } from "../../proxy/modes/iptables/names.ts";
import { ownAddresses } from "../../proxy/modes/userspace/place.ts";
import type { ClusterObjects } from "../../trace/snapshot/objects.ts";
import type { Facts } from "../facts.ts";
import { type Check, some } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";

/** Rules that lead to pods that are gone. */
export const staleEndpoint: Check = {
  name: "stale-endpoint",
  about: "Whether the proxy's rules send packets to endpoints that no EndpointSlice has any more.",
  seen: ["kubernetes/kubernetes#96018", "kubernetes/kubernetes#135639"],
  run(facts) {
    const { cluster } = facts;
    if (cluster === undefined) return [];
    return facts.proxies.flatMap((proxy) => {
      const stale = proxy.kind === "iptables" ? staleChains(facts, proxy, cluster) : staleValues(facts, proxy, cluster);
      if (stale.length === 0) return [];
      return [
        {
          severity: "error" as const,
          subject: proxy.title,
          message: `${proxy.title} leads to ${stale.length === 1 ? "an endpoint" : `${stale.length} endpoints`} that no EndpointSlice has: ${some(stale)}. Connections that are sent there fail, or reach a pod that has the address now.`,
          remedy: "see whether the proxy runs and reaches the API server (its log says), and restart it",
          run: ["curl -i http://127.0.0.1:10256/healthz"],
        },
      ];
    });
  },
};

/** Chains of endpoints, whose names tell service and endpoint, beside those that the slices ask for. */
function staleChains(
  { chains }: Facts,
  { variant, family, table }: ProxyFound,
  { slices }: ClusterObjects,
): readonly string[] {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const own = chains.filter((each) => each.variant === variant && each.family === ip);
  // These rules lead to a proxy in user space.
  if (own.some(({ name, rules }) => name === "KUBE-PROXY-FIREWALL" && rules.some(isGuard))) return [];
  const wanted = new Set(
    slices
      .filter((slice) => slice.family === family)
      .flatMap(({ namespace, service: name, ports, endpoints }) =>
        ports.flatMap((port) =>
          endpoints.map(({ address }) =>
            endpointChain(
              { namespace, name, port: port.name, protocol: port.protocol },
              { address, port: port.port, local: false },
            ),
          ),
        ),
      ),
  );
  const found = own.filter((each) => each.table === table && each.name.startsWith("KUBE-SEP-"));
  return found.filter(({ name }) => !wanted.has(name)).map(({ name }) => `chain ${name}`);
}

function isGuard({ conditions }: Facts["chains"][number]["rules"][number]): boolean {
  const destination = conditions.destination?.value;
  return Object.values(ownAddresses).some((address) => destination?.startsWith(`${address}/`));
}

/** Destinations in the maps of a table of nf_tables beside those of the slices. */
function staleValues(facts: Facts, proxy: ProxyFound, { slices }: ClusterObjects): readonly string[] {
  const known = new Set(
    slices.flatMap(({ ports, endpoints }) =>
      ports.flatMap(({ port }) => endpoints.map(({ address }) => formatHostPort(address, port))),
    ),
  );
  for (const address of Object.values(ownAddresses)) known.add(address);
  return destinationsOf(facts, proxy).filter((each) => !known.has(each) && !known.has(addressOf(each)));
}

/** Where a table leads to, as `address:port`. */
function destinationsOf({ snapshot, chains }: Facts, { kind, family, table }: ProxyFound): readonly string[] {
  if (kind !== "portolan" && kind !== "kube-proxy") return [];
  const ip = family === "IPv4" ? "ip" : "ip6";
  const found = new Set<string>();
  const maps = snapshot.nftables.sets.filter((set) => set.family === ip && set.table === table);
  for (const { set, flags, elements } of maps) {
    // kube-proxy's maps of endpoints have no names.
    const leads =
      kind === "portolan"
        ? set === "endpoints" || set === "affinity-endpoints"
        : (flags?.includes("anonymous") ?? false);
    if (!leads) continue;
    for (const { data } of elements) {
      const destination = data && destinationIn(data, family);
      if (destination !== undefined) found.add(destination);
    }
  }
  for (const chain of chains) {
    if (kind !== "kube-proxy" || chain.family !== ip || chain.table !== table) continue;
    const [, text = "", port] = /^endpoint-.*__([^/]+)\/(\d+)$/.exec(chain.name) ?? [];
    const address = tryParseAddress(family === "IPv4" ? text : text.replaceAll(".", ":"));
    if (address !== undefined) found.add(formatHostPort(address, Number(port)));
  }
  return [...found];
}

/** Reads `address . port`, each padded to four bytes. */
function destinationIn(data: Uint8Array, family: Family): string | undefined {
  const length = addressLength(family);
  if (data.length !== length + 4) return undefined;
  const port = ((data[length] ?? 0) << 8) | (data[length + 1] ?? 0);
  return formatHostPort(addressFromBytes(data.subarray(0, length)), port);
}

function addressOf(destination: string): string {
  return destination.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}

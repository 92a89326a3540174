import { formatHostPort } from "../../net/protocol.ts";
import { endpointChain } from "../../proxy/modes/iptables/names.ts";
import { ownAddresses } from "../../proxy/modes/userspace/place.ts";
import type { ClusterObjects } from "../../trace/snapshot/objects.ts";
import { addressOf, destinationsOf, leadsToUserSpace } from "../destinations.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, some } from "../finding.ts";
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
          run: [...showing(proxy, stale[0]), "curl -i http://127.0.0.1:10256/healthz"],
        },
      ];
    });
  },
};

/** The chain of an endpoint says by its comment whose it is, and by its rule where it leads. */
function showing({ kind, variant, family }: ProxyFound, chain = ""): readonly string[] {
  if (kind !== "iptables") return [];
  const program = `${family === "IPv4" ? "iptables" : "ip6tables"}${variant === "legacy" ? "-legacy" : ""}`;
  return [command`${program} -t nat -S ${chain.replace("chain ", "")}`];
}

/** Chains of endpoints, whose names tell service and endpoint, beside those that the slices ask for. */
function staleChains(
  { chains }: Facts,
  { variant, family, table }: ProxyFound,
  { slices }: ClusterObjects,
): readonly string[] {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const own = chains.filter((each) => each.variant === variant && each.family === ip);
  if (leadsToUserSpace(own)) return [];
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

/** Destinations in the maps of a table of nf_tables beside those of the slices. */
function staleValues(facts: Facts, proxy: ProxyFound, { slices }: ClusterObjects): readonly string[] {
  const known = new Set(
    slices.flatMap(({ ports, endpoints }) =>
      ports.flatMap(({ port }) => endpoints.map(({ address }) => formatHostPort(address, port))),
    ),
  );
  for (const address of Object.values(ownAddresses)) known.add(address);
  return [...destinationsOf(facts, proxy)].filter((each) => !known.has(each) && !known.has(addressOf(each)));
}

import { type Address, addressBytes, familyOf } from "../../net/address.ts";
import { type Protocol, protocolNumbers } from "../../net/protocol.ts";
import { serviceChains } from "../../proxy/modes/iptables/names.ts";
import type { Facts } from "../facts.ts";
import { type Check, some } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

/** Services that the proxy has no rules for. */
export const unservedService: Check = {
  name: "unserved-service",
  about: "Whether the proxy's rules have every Service that the API has.",
  seen: ["kubernetes/kubernetes#135639", "kubernetes/kubernetes#139513"],
  run(facts) {
    const { cluster, proxies, node } = facts;
    if (cluster === undefined) return [];
    const slices = slicesByService(cluster);
    return proxies.flatMap((proxy) => {
      const isServed = knower(facts, proxy);
      if (isServed === undefined) return [];
      const missing = cluster.services.flatMap((service) => {
        const address = service.clusterIPs.find((each) => familyOf(each) === proxy.family);
        if (address === undefined) return [];
        const without = service.ports.filter(({ name, protocol, port }) => {
          // What is refused, or dropped, for want of endpoints may have rules of another form.
          const some = endpointsOf(slices.get(serviceTitle(service)) ?? [], { name, protocol }).some(
            (endpoint) =>
              isUsable(endpoint) &&
              familyOf(endpoint.address) === proxy.family &&
              (service.internalTrafficPolicy === "Cluster" || endpoint.nodeName === node?.name),
          );
          return (
            some &&
            !isServed({ namespace: service.namespace, name: service.name, portName: name, protocol, address, port })
          );
        });
        return without.length === 0 ? [] : [serviceTitle(service)];
      });
      if (missing.length === 0) return [];
      return [
        {
          severity: "error" as const,
          subject: proxy.title,
          message: `${proxy.title} has no rules for ${missing.length} of ${cluster.services.length} Services, though they have endpoints: ${some(missing)}. They do not answer to this node and its pods.`,
          remedy: "see the proxy's log and whether it is done with its first sync; restart it if it hangs",
          run: ["curl -i http://127.0.0.1:10256/healthz"],
        },
      ];
    });
  },
};

interface Port {
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly address: Address;
  readonly port: number;
}

/** Says whether a proxy has a port of a Service; undefined where that cannot be told. */
function knower(
  { snapshot, chains }: Facts,
  { kind, family, variant, table: own }: ProxyFound,
): ((port: Port) => boolean) | undefined {
  const table = family === "IPv4" ? "ip" : "ip6";
  if (kind === "portolan" || kind === "kube-proxy") {
    const maps = kind === "portolan" ? ["front-ends"] : ["service-ips", "no-endpoint-services"];
    const sets = snapshot.nftables.sets.filter(
      (set) => set.family === table && set.table === own && maps.includes(set.set),
    );
    if (sets.length === 0) return undefined;
    const keys = new Set(
      sets.flatMap(({ elements }) => elements.map(({ key }) => Buffer.from(key).toString("latin1"))),
    );
    return ({ address, protocol, port }) => keys.has(keyOf(address, protocol, port));
  }
  if (kind === "ipvs") {
    const keys = snapshot.ipvs?.services.flatMap(({ key }) =>
      key.kind === "address" ? [`${key.address} ${key.port} ${key.protocol}`] : [],
    );
    const known = new Set(keys);
    return keys && (({ address, protocol, port }) => known.has(`${address} ${port} ${protocol}`));
  }
  const names = new Set(
    chains
      .filter((chain) => chain.variant === variant && chain.family === table && chain.table === "nat")
      .map(({ name }) => name),
  );
  return ({ namespace, name, portName, protocol }) => {
    const wanted = serviceChains({ namespace, name, port: portName, protocol });
    return Object.values(wanted).some((chain) => names.has(chain));
  };
}

/** The key of both proxies' maps: address, protocol and port, each padded to four bytes. */
function keyOf(address: Address, protocol: Protocol, port: number): string {
  const bytes = [...addressBytes(address), protocolNumbers[protocol], 0, 0, 0, port >> 8, port & 255, 0, 0];
  return Buffer.from(bytes).toString("latin1");
}

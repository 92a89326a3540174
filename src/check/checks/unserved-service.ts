import { type Address, addressBytes, familyOf } from "../../net/address.ts";
import { formatHostPort, type Protocol, protocolNumbers } from "../../net/protocol.ts";
import { endpointChain, chains as names, serviceChains } from "../../proxy/modes/iptables/names.ts";
import { ownAddresses } from "../../proxy/modes/userspace/place.ts";
import type { PlainChain } from "../chains.ts";
import { addressOf, destinationsOf, leadsToUserSpace } from "../destinations.ts";
import type { Facts } from "../facts.ts";
import { type Check, some } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";
import { mayBeLeft } from "./two-proxies.ts";

/** Services that the proxy has no rules for. */
export const unservedService: Check = {
  name: "unserved-service",
  about: "Whether the proxy's rules have every Service that the API has, and lead to endpoints of it.",
  seen: ["kubernetes/kubernetes#135639", "kubernetes/kubernetes#139513"],
  run(facts) {
    const { cluster, proxies, node } = facts;
    if (cluster === undefined) return [];
    const slices = slicesByService(cluster);
    return proxies.flatMap((proxy) => {
      const isServed = mayBeLeft(facts, proxy) ? undefined : knower(facts, proxy);
      if (isServed === undefined) return [];
      const missing = cluster.services.flatMap((service) => {
        const address = service.clusterIPs.find((each) => familyOf(each) === proxy.family);
        if (address === undefined) return [];
        const without = service.ports.filter(({ name, protocol, port, nodePort }) => {
          // What is refused, or dropped, for want of endpoints may have rules of another form.
          const endpoints = endpointsOf(slices.get(serviceTitle(service)) ?? [], { name, protocol }).filter(
            (endpoint) =>
              isUsable(endpoint) &&
              familyOf(endpoint.address) === proxy.family &&
              (service.internalTrafficPolicy === "Cluster" || endpoint.nodeName === node?.name),
          );
          return (
            endpoints.length > 0 &&
            !isServed({
              ...{
                namespace: service.namespace,
                name: service.name,
                portName: name,
                protocol,
                address,
                port,
                endpoints,
              },
              // Where the policy is Local, node ports of this node may well lead nowhere.
              nodePort: service.externalTrafficPolicy === "Local" ? 0 : nodePort,
            })
          );
        });
        return without.length === 0 ? [] : [serviceTitle(service)];
      });
      if (missing.length === 0) return [];
      return [
        {
          severity: "error" as const,
          subject: proxy.title,
          message: `${proxy.title} leads to no endpoint for ${missing.length} of ${cluster.services.length} Services, though they have some: ${some(missing)}. They do not answer, or not everywhere: their rules are missing here, or not whole.`,
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
  /** 0: none, or none to look for. */
  readonly nodePort: number;
  /** Those that may be sent to from here. */
  readonly endpoints: readonly { readonly address: Address; readonly port: number }[];
}

type Knower = (port: Port) => boolean;

/** Says whether a proxy leads from a port of a Service to one of its endpoints; undefined where that cannot be told. */
function knower(facts: Facts, proxy: ProxyFound): Knower | undefined {
  switch (proxy.kind) {
    case "portolan":
      return ofPortolan(facts, proxy);
    case "kube-proxy":
      return ofKubeProxy(facts, proxy);
    case "ipvs":
      return ofIpvs(facts);
    case "iptables":
      return ofIptables(facts, proxy);
  }
}

function setsOf({ snapshot }: Facts, { family, table }: ProxyFound, wanted: readonly string[]) {
  const ip = family === "IPv4" ? "ip" : "ip6";
  return snapshot.nftables.sets.filter((set) => set.family === ip && set.table === table && wanted.includes(set.set));
}

function ofPortolan(facts: Facts, proxy: ProxyFound): Knower | undefined {
  const fronts = setsOf(facts, proxy, ["front-ends"]);
  if (fronts.length === 0) return undefined;
  const keys = new Set(fronts.flatMap(({ elements }) => elements.map(({ key }) => textOf(key))));
  const destinations = destinationsOf(facts, proxy);
  const own = new Set<string>(Object.values(ownAddresses));
  // What leads to a proxy in user space does not say what that leads to.
  const saysMore =
    setsOf(facts, proxy, ["endpoints", "affinity-endpoints"]).length > 0 &&
    ![...destinations].some((each) => own.has(addressOf(each)));
  return ({ address, protocol, port, endpoints }) =>
    keys.has(keyOf(address, protocol, port)) &&
    (!saysMore || endpoints.some((each) => destinations.has(formatHostPort(each.address, each.port))));
}

function ofKubeProxy(facts: Facts, proxy: ProxyFound): Knower | undefined {
  const maps = setsOf(facts, proxy, ["service-ips", "no-endpoint-services"]);
  if (maps.length === 0) return undefined;
  const ip = proxy.family === "IPv4" ? "ip" : "ip6";
  const empty = new Set(
    facts.chains
      .filter(({ family, table, size }) => family === ip && table === proxy.table && size === 0)
      .map(({ name }) => name),
  );
  const whole = maps.flatMap(({ elements }) =>
    elements.filter(({ verdict }) => verdict === undefined || !("chain" in verdict) || !empty.has(verdict.chain)),
  );
  const keys = new Set(whole.map(({ key }) => textOf(key)));
  return ({ address, protocol, port }) => keys.has(keyOf(address, protocol, port));
}

function ofIpvs({ snapshot }: Facts): Knower | undefined {
  const keys = snapshot.ipvs?.services.flatMap(({ key }) =>
    key.kind === "address" ? [`${key.address} ${key.port} ${key.protocol}`] : [],
  );
  const known = new Set(keys);
  return keys && (({ address, protocol, port }) => known.has(`${address} ${port} ${protocol}`));
}

/** A Service's chain must be led to, and have rules, as the chain of one of its endpoints must. */
function ofIptables({ chains }: Facts, { variant, family }: ProxyFound): Knower {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const own = chains.filter((chain) => chain.variant === variant && chain.family === ip);
  const nat = new Map(own.filter(({ table }) => table === "nat").map((chain) => [chain.name, chain]));
  const fromServices = ledTo(nat.get(names.services));
  const fromNodePorts = fromServices.has(names.nodePorts) ? ledTo(nat.get(names.nodePorts)) : undefined;
  const inUserSpace = leadsToUserSpace(own);
  const hasRules = (name: string) => (nat.get(name)?.size ?? 0) > 0;
  return ({ namespace, name, portName, protocol, nodePort, endpoints }) => {
    const service = { namespace, name, port: portName, protocol };
    const { cluster, local, external } = serviceChains(service);
    const led = (by: ReadonlySet<string>, ...chains: readonly string[]) =>
      chains.some((chain) => by.has(chain) && hasRules(chain));
    return (
      led(fromServices, cluster, local) &&
      (nodePort === 0 || fromNodePorts === undefined || led(fromNodePorts, external, cluster)) &&
      (inUserSpace ||
        endpoints.some(({ address, port }) => hasRules(endpointChain(service, { address, port, local: false }))))
    );
  };
}

function ledTo(chain: PlainChain | undefined): ReadonlySet<string> {
  return new Set(
    chain?.rules.flatMap(({ decided }) => (decided.kind === "jump" || decided.kind === "goto" ? [decided.chain] : [])),
  );
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key).toString("latin1");
}

/** The key of both proxies' maps: address, protocol and port, each padded to four bytes. */
function keyOf(address: Address, protocol: Protocol, port: number): string {
  const bytes = [...addressBytes(address), protocolNumbers[protocol], 0, 0, 0, port >> 8, port & 255, 0, 0];
  return textOf(Uint8Array.from(bytes));
}

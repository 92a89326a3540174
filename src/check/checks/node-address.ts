import { type Address, addressFromBytes, addressLength, isLoopback } from "../../net/address.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, some } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";

/** Node ports on addresses that the node does not have, and a Node that names none of its own. */
export const nodeAddress: Check = {
  name: "node-address",
  about: "Whether the addresses that the proxy serves node ports on, and those of the Node object, are the machine's.",
  seen: ["kubernetes/kubernetes#37414", "kubernetes/kubernetes#48719"],
  run(facts) {
    const own = new Set(facts.snapshot.addresses.map(({ address }) => address));
    const served = facts.proxies.flatMap((proxy) => {
      const missing = nodePortAddresses(facts, proxy).filter((address) => !own.has(address) && !isLoopback(address));
      if (missing.length === 0) return [];
      return [
        {
          severity: "warning" as const,
          subject: `${proxy.title}: node ports`,
          message: `${proxy.title} serves node ports on ${some(missing)}, which this machine does not have (any more): clients of its present addresses find no node port there.`,
          remedy:
            "restart the proxy, so that it looks at the addresses again; see nodePortAddresses in its configuration",
          run: ["ip -brief address"],
        },
      ];
    });
    return [...served, ...strange(facts, own)];
  },
};

/** A Node found by one of its addresses may name others that are nobody's. */
function strange({ node }: Facts, own: ReadonlySet<Address>) {
  const others = node?.addresses.filter((address) => !own.has(address)) ?? [];
  const [first] = node?.addresses ?? [];
  // Addresses of a NAT before the machine (ExternalIP) come after its own.
  if (node === undefined || first === undefined || own.has(first) || others.length === 0) return [];
  return [
    {
      severity: "warning" as const,
      subject: `node ${node.name}`,
      message: `The Node ${node.name} says that its first address is ${first}, which this machine does not have: other nodes and the API server look for it there, and proxies that serve node ports on the primary address serve them nowhere.`,
      remedy: "kubelet's flag --node-ip with an address of this machine, and restart kubelet",
      run: [command`kubectl get node ${node.name} -o jsonpath='{.status.addresses}'`, "ip -brief address"],
    },
  ];
}

/** The addresses that a proxy serves node ports on; none where it serves them on all. */
function nodePortAddresses(
  { snapshot, chains }: Facts,
  { kind, family, variant, table }: ProxyFound,
): readonly Address[] {
  const ip = family === "IPv4" ? "ip" : "ip6";
  if (kind === "portolan" || kind === "kube-proxy") {
    const name = kind === "portolan" ? "node-port-addresses" : "nodeport-ips";
    return snapshot.nftables.sets
      .filter((set) => set.family === ip && set.table === table && set.set === name)
      .flatMap(({ elements }) => elements.map(({ key }) => key))
      .filter((key) => key.length === addressLength(family))
      .map(addressFromBytes);
  }
  if (kind !== "iptables") return [];
  const services = chains.find(
    (each) => each.variant === variant && each.family === ip && each.table === table && each.name === "KUBE-SERVICES",
  );
  const full = `/${8 * addressLength(family)}`;
  // Thousands of rules for cluster IPs come first.
  return (services?.rules ?? []).flatMap(({ conditions, decided }) => {
    const { destination } = conditions;
    const leads = decided.kind === "jump" && decided.chain === "KUBE-NODEPORTS";
    if (!leads || destination === undefined || destination.not || !destination.value.endsWith(full)) return [];
    return [destination.value.slice(0, -full.length) as Address];
  });
}

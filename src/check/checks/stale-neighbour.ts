import { type Prefix, prefixAddress, prefixFamily } from "../../net/prefix.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, type Finding } from "../finding.ts";

type Found = Omit<Finding, "check">;

/** Hardware addresses written for good that may be, or are, those of a machine that is gone. */
export const staleNeighbour: Check = {
  name: "stale-neighbour",
  about:
    "Whether other nodes have static neighbour entries on ordinary links, and whether neighbours and forwarding entries of flannel's VXLAN are what the nodes say of themselves.",
  seen: ["flannel-io/flannel#1788", "flannel-io/flannel#636", "projectcalico/calico#9450"],
  run: (facts) => [...staticEntries(facts), ...flannel(facts)],
};

function staticEntries(facts: Facts): readonly Found[] {
  const nodes = facts.cluster?.nodes.filter(({ name }) => name !== facts.node?.name) ?? [];
  return facts.snapshot.neighbours.flatMap(({ state, address, mac, interface: index }) => {
    const link = facts.link(index);
    const ordinary = link?.hardware === 1 && link.kind !== "vxlan" && link.kind !== "bridge";
    const node = nodes.find(({ addresses }) => addresses.includes(address));
    if (state !== "permanent" || !ordinary || node === undefined) return [];
    return [
      {
        severity: "warning",
        subject: `neighbour ${address} on ${link.name}`,
        message: `Node ${node.name} (${address}) has a static neighbour entry on ${link.name} with hardware address ${mac ?? "none"}: if that is not the node's, nothing on that node, neither itself nor its pods, is reached from here, and nothing will ever correct it.`,
        remedy: `delete it: the node is asked anew ("ip link" on ${node.name} shows which address is right)`,
        run: [command`ip neigh del ${address} dev ${link.name}`],
      },
    ];
  });
}

function flannel(facts: Facts): readonly Found[] {
  const { snapshot, cluster, node } = facts;
  return (cluster?.nodes ?? []).flatMap((other) => {
    const { flannel: says, name } = other;
    const cidr = other.podCIDRs.find((each: Prefix) => prefixFamily(each) === "IPv4");
    if (says === undefined || cidr === undefined || name === node?.name) return [];
    const link = snapshot.links.find(({ details }) => details?.kind === "vxlan" && details.id === says.vni);
    if (link === undefined) return [];
    const found: Found[] = [];
    const far = prefixAddress(cidr);
    const neighbour = snapshot.neighbours.find(
      ({ address, interface: index }) => address === far && index === link.index,
    );
    if (neighbour?.mac !== undefined && neighbour.mac !== says.mac) {
      found.push({
        severity: "error",
        subject: `neighbour ${far} on ${link.name}`,
        message: `On ${link.name} node ${name} (${far}) has hardware address ${neighbour.mac}, and says itself that it is ${says.mac}: its pods drop everything from here.`,
        remedy: "restart flannel here, or mend the entry by hand",
        run: [command`ip neigh replace ${far} lladdr ${says.mac} dev ${link.name} nud permanent`],
      });
    }
    const entries = snapshot.fdb.filter(
      ({ mac, interface: index, destination }) => mac === says.mac && index === link.index && destination !== undefined,
    );
    if (neighbour !== undefined && !entries.some(({ destination }) => destination === says.publicIP)) {
      found.push({
        severity: "error",
        subject: `forwarding of ${says.mac} on ${link.name}`,
        message: `${link.name} sends packets for node ${name} to ${entries[0]?.destination ?? "nobody"}, and its address is ${says.publicIP}: its pods cannot be reached from here.`,
        remedy: "restart flannel here, or mend the entry by hand",
        run: [command`bridge fdb replace ${says.mac} dev ${link.name} dst ${says.publicIP}`],
      });
    }
    return found;
  });
}

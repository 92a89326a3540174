import { familyOf } from "../../net/address.ts";
import { type Prefix, prefixFamily } from "../../net/prefix.ts";
import type { CheckedNode } from "../../trace/snapshot/objects.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, type Finding, some } from "../finding.ts";

/** Routes to pods of other nodes that lead elsewhere. */
export const staleRoute: Check = {
  name: "stale-route",
  about: "Whether the routes to other nodes' pods lead to these nodes.",
  seen: ["flannel-io/flannel#654", "flannel-io/flannel#1788"],
  run(facts) {
    const { cluster, node } = facts;
    if (cluster === undefined || node === undefined) return [];
    const others = cluster.nodes.filter(({ name }) => name !== node.name);
    const found: Omit<Finding, "check">[] = [];
    const missing: { readonly node: string; readonly cidr: Prefix }[] = [];
    let there = 0;
    for (const other of others) {
      for (const cidr of other.podCIDRs) {
        // Many overlays know their own ways: only where some nodes have such routes all should.
        const routes = facts.snapshot.routes.filter(
          ({ destination, table, type }) => table === 254 && type === "unicast" && destination === cidr,
        );
        if (routes.length === 0) missing.push({ node: other.name, cidr });
        else there++;
        for (const { nextHops } of routes) {
          for (const { gateway, interface: index } of nextHops) {
            const problem = gateway === undefined ? undefined : wrongGateway(facts, others, other, gateway, index);
            if (problem === undefined) continue;
            found.push({
              severity: problem.severity,
              subject: `route ${cidr}`,
              message: `The route to the pods of ${other.name} (${cidr}) leads to ${gateway}, ${problem.why}: its pods cannot be reached from here.`,
              remedy: "mend the route, and see what writes the routes",
              run: [
                command`ip route replace ${cidr} via ${other.addresses.find((address) => familyOf(address) === prefixFamily(cidr)) ?? "NODE-ADDRESS"}`,
              ],
            });
          }
        }
      }
    }
    if (there > 0 && missing.length > 0) {
      found.push({
        severity: "warning",
        subject: "routes to pods",
        message: `There are routes to the pods of other nodes, but none to those of ${some(missing.map((each) => `${each.node} (${each.cidr})`))}: they are sent where everything else goes.`,
        remedy: "see what writes the routes, and whether it knows these nodes",
        run: ["ip route", "ip -6 route"],
      });
    }
    return found;
  },
};

function wrongGateway(
  { snapshot, node }: Facts,
  others: readonly CheckedNode[],
  other: CheckedNode,
  gateway: string,
  index: number | undefined,
): { readonly severity: Finding["severity"]; readonly why: string } | undefined {
  // On a tunnel the gateway is an address of the overlay.
  const kind = snapshot.links.find((each) => each.index === index)?.kind;
  if (kind !== undefined && !["veth", "bridge", "vlan", "bond", "macvlan", "ipvlan"].includes(kind)) return undefined;
  if (other.addresses.some((address) => address === gateway)) return undefined;
  const wrong = others.find(({ addresses }) => addresses.some((address) => address === gateway));
  if (wrong !== undefined) return { severity: "error", why: `which is node ${wrong.name}` };
  const neighbour = snapshot.neighbours.find(
    ({ address, interface: at }) => address === gateway && (index === undefined || at === index),
  );
  if (neighbour?.state === "failed" || neighbour?.state === "incomplete")
    return { severity: "error", why: "where nobody answers" };
  // A router may well stand between, but only where nodes are not neighbours themselves.
  const own = snapshot.addresses.some(({ address }) => node?.addresses.includes(address));
  return own && neighbour === undefined ? { severity: "warning", why: "which is no address of that node" } : undefined;
}

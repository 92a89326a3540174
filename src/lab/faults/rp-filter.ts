import { addAddress, createLink, deleteLink, findLink, openRoute, replaceRoute } from "../../kernel/route/index.ts";
import { parseAddress } from "../../net/address.ts";
import { hostPrefix } from "../../net/prefix.ts";
import { wireAddress, wireHost } from "../plan/addresses.ts";
import { type Fault, namesOf, nodeAt, restoreSysctls, setSysctls } from "./fault.ts";

const second = { node: parseAddress("172.21.0.1"), outside: parseAddress("172.21.0.2"), length: 24 } as const;
const link = "eth1";

/** A node with two ways to its clients that believes in one of them only. */
export const rpFilter: Fault = {
  name: "rp-filter",
  deed: "The first node gets a second wire to the outside, answers over that one, and filters by reverse path strictly.",
  symptom: "Clients outside get no answer from the node ports of the first node, while those of others answer.",
  explanation:
    "With rp_filter=1 the kernel drops a packet that came in by another interface than the one its answer would leave by, and says so nowhere but in a counter (`nstat -az IPReversePathFilter`, `log_martians`). The greater value of `all` and the interface counts.",
  remedy: "sysctl net.ipv4.conf.eth0.rp_filter=2 (loose) on the node, or routes that are the same both ways",
  break(stage) {
    const { namespace } = nodeAt(stage, 0);
    const { outside } = namesOf(stage);
    using far = openRoute(outside);
    using near = openRoute(namespace);
    createLink(far, link, { kind: "veth", peer: { name: link, namespace, up: true } }, { up: true });
    for (const [socket, address] of [
      [far, second.outside],
      [near, second.node],
    ] as const) {
      const index = findLink(socket, link)?.index ?? 0;
      addAddress(socket, { interface: index, address, prefixLength: second.length });
    }
    const client = wireAddress("IPv4", wireHost.outside);
    replaceRoute(near, { destination: hostPrefix(client), nextHops: [{ gateway: second.outside }] });
    return setSysctls([namespace], { "net/ipv4/conf/eth0/rp_filter": "1" });
  },
  repair(stage, memory) {
    using far = openRoute(namesOf(stage).outside);
    const found = findLink(far, link);
    if (found !== undefined) deleteLink(far, found.index);
    restoreSysctls(memory);
  },
};

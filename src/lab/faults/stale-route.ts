import { openRoute, replaceRoute } from "../../kernel/route/index.ts";
import { podPrefix, wireAddress } from "../plan/addresses.ts";
import { nodeRoutes } from "../plan/machine.ts";
import { type Fault, nodeAt } from "./fault.ts";

/** Where no node is. */
const nobody = 250;

/** A way to where a node once was. */
export const staleRoute: Fault = {
  name: "stale-route",
  deed: "The first node's route to the pods of the second leads to an address that no node has any more.",
  symptom:
    "From the first node and its pods, those on the second node cannot be reached (no route to host, after a while); all others can.",
  explanation:
    "Routes to pods name the node that they are on. When a node comes back with another address and nobody tells the others, they send to the old one: compare `ip route` with `kubectl get nodes -o wide`; `ip neigh` says FAILED.",
  remedy: "ip route replace POD-PREFIX via NODE-ADDRESS",
  break(stage) {
    using socket = openRoute(nodeAt(stage, 0).namespace);
    const destination = podPrefix("IPv4", nodeAt(stage, 1).spec.index);
    replaceRoute(socket, { destination, nextHops: [{ gateway: wireAddress("IPv4", nobody) }] });
  },
  repair(stage) {
    const { namespace, spec } = nodeAt(stage, 0);
    using socket = openRoute(namespace);
    for (const { destination, gateway } of nodeRoutes(stage.spec, spec)) {
      replaceRoute(socket, { destination, nextHops: [{ gateway }] });
    }
  },
};

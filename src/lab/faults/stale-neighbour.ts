import { deleteNeighbour, findLink, openRoute, parseMac, setNeighbour } from "../../kernel/route/index.ts";
import { nodeHost, wireAddress } from "../plan/addresses.ts";
import { type Fault, type FaultStage, nodeAt } from "./fault.ts";

/** A hardware address that was another machine's. */
export const staleNeighbour: Fault = {
  name: "stale-neighbour",
  deed: "The first node has a permanent neighbour entry for the second, with a hardware address that nobody has.",
  symptom: "The first node reaches nothing on the second, neither the node nor its pods; the routes are right.",
  explanation:
    "Overlays write neighbours and forwarding entries for good, from what the API says of each node. When a node is made anew and its entry is not, frames go to a hardware address that is gone: `ip neigh` shows PERMANENT with an address other than `ip link` of that node.",
  remedy: "ip neigh del ADDRESS dev eth0",
  break: setStale,
  repair(stage) {
    // So that there is something to delete.
    setStale(stage);
    using socket = openRoute(nodeAt(stage, 0).namespace);
    deleteNeighbour(socket, neighbour(stage, socket));
  },
};

function setStale(stage: FaultStage): void {
  using socket = openRoute(nodeAt(stage, 0).namespace);
  setNeighbour(socket, { ...neighbour(stage, socket), mac: parseMac("0a:58:de:ad:be:ef") });
}

function neighbour(stage: FaultStage, socket: ReturnType<typeof openRoute>) {
  return {
    interface: findLink(socket, "eth0")?.index ?? 0,
    address: wireAddress("IPv4", nodeHost(nodeAt(stage, 1).spec.index)),
  };
}

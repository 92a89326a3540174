import { type Fault, must, namesOf, nodeAt } from "./fault.ts";

/** A wire that swallows long packets. */
export const mtu: Fault = {
  name: "mtu",
  deed: "The second node takes no packets longer than 1280 bytes, and nobody is told.",
  symptom: "Short requests to pods of the second node are answered, long ones hang.",
  explanation:
    "Both ends of a wire must agree on its MTU. A packet too long for whoever receives it is dropped without a word; only routers tell the sender (ICMP, fragmentation needed). Compare `ip link` at both ends; overlays need 50 bytes and more for themselves.",
  remedy: "the same MTU at both ends, or the smaller one everywhere, pods included",
  break(stage) {
    const { name, namespace } = nodeAt(stage, 1);
    must(namespace, "ip", "link", "set", "eth0", "mtu", "1280");
    // Packets of many segments in one, which virtual wires carry, would slip through.
    must(namesOf(stage).wire, "ip", "link", "set", name, "gso_max_segs", "1");
  },
  repair(stage) {
    const { name, namespace } = nodeAt(stage, 1);
    must(namespace, "ip", "link", "set", "eth0", "mtu", "1500");
    must(namesOf(stage).wire, "ip", "link", "set", name, "gso_max_segs", "65535");
  },
};

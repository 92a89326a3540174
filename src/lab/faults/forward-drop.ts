import { type Fault, must, nodeAt } from "./fault.ts";

/** The policy that container engines have set since 2017. */
export const forwardDrop: Fault = {
  name: "forward-drop",
  deed: "The policy of iptables' chain FORWARD on the first node becomes DROP.",
  symptom: "Pods of the first node reach nobody on other nodes; the node itself reaches all.",
  explanation:
    "Docker and others set this policy to keep strangers out of their containers. What is for pods and has no rule of its own that accepts it is dropped at the end of the chain: `iptables -S FORWARD` begins with -P FORWARD DROP.",
  remedy: "iptables -P FORWARD ACCEPT, or rules that accept what the pods need",
  break: (stage) => {
    must(nodeAt(stage, 0).namespace, "iptables", "-P", "FORWARD", "DROP");
  },
  repair: (stage) => {
    must(nodeAt(stage, 0).namespace, "iptables", "-P", "FORWARD", "ACCEPT");
  },
};

import { type Fault, nodeAt, restoreSysctls, setSysctls } from "./fault.ts";

/** A node that forwards nothing. */
export const ipForwardOff: Fault = {
  name: "ip-forward-off",
  deed: "The first node no longer forwards packets.",
  symptom:
    "Pods of the first node reach nobody on other nodes, and its node ports do not answer; the node itself can do everything.",
  explanation:
    "To reach a pod, or to leave one, a packet passes the node as it would pass a router, and net.ipv4.ip_forward=0 forbids that. Something that hardens machines sets it, or a reboot without the sysctl file.",
  remedy: "sysctl net.ipv4.ip_forward=1 on the node",
  break: (stage) => setSysctls([nodeAt(stage, 0).namespace], { "net/ipv4/ip_forward": "0" }),
  repair: (_, memory) => restoreSysctls(memory),
};

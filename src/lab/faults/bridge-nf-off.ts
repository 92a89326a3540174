import { type Fault, restoreSysctls, setSysctls } from "./fault.ts";

/** Answers between pods of one node come from the wrong address. */
export const bridgeNfOff: Fault = {
  name: "bridge-nf-off",
  deed: "What is bridged between pods of a node no longer passes the rules.",
  symptom: "A pod that asks a Service gets answers from pods of other nodes, and none from those of its own.",
  explanation:
    "The answer of a pod on the same bridge goes straight to the one that asked, past the rules that would turn its address back into the Service's: the one that asked drops it, for it talks to somebody else. net.bridge.bridge-nf-call-iptables must be 1, which needs the module br_netfilter.",
  remedy: "sysctl net.bridge.bridge-nf-call-iptables=1 on every node",
  break: ({ nodes }) =>
    setSysctls(
      nodes.map(({ namespace }) => namespace),
      { "net/bridge/bridge-nf-call-iptables": "0" },
    ),
  repair: (_, memory) => restoreSysctls(memory),
};

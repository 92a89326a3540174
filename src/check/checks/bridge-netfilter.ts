import { type Check, command, some } from "../finding.ts";

/** Answers between pods of one bridge that pass no rules. */
export const bridgeNetfilter: Check = {
  name: "bridge-netfilter",
  about: "Whether what is bridged between pods of this node passes the rules that translate answers back.",
  seen: ["kubernetes/kubernetes#38802", "kubernetes/kubernetes#21613", "cloudnativelabs/kube-router#151"],
  run(facts) {
    if (facts.podBridges.length === 0 || !facts.isNode) return [];
    const names = facts.podFamilies.includes("IPv6") ? ["iptables", "ip6tables"] : ["iptables"];
    return names.flatMap((program) => {
      const name = `net/bridge/bridge-nf-call-${program}`;
      const value = facts.sysctl(name);
      if (value === "1") return [];
      const dotted = name.replaceAll("/", ".");
      const bridges = some(facts.podBridges.map((link) => link.name));
      return [
        {
          severity: "error",
          subject: dotted,
          message: `${dotted} is ${value ?? "not there (module br_netfilter is not loaded)"}: answers between pods on ${bridges} pass no rules and keep the wrong address, so a pod that asks a Service gets no answer from pods of its own node.`,
          remedy: `${value === undefined ? "load the module, and turn it on" : "turn it on"}, and have /etc/sysctl.d do so at the next boot`,
          run: [...(value === undefined ? ["modprobe br_netfilter"] : []), command`sysctl -w ${dotted}=1`],
        },
      ];
    });
  },
};

import { type Check, command } from "../finding.ts";

/** A node that forwards nothing. */
export const ipForward: Check = {
  name: "ip-forward",
  about: "Whether the node forwards packets: without that no packet reaches or leaves a pod.",
  seen: ["kubernetes/kubernetes#84254", "weaveworks/weave#3280"],
  run(facts) {
    if (!facts.isNode) return [];
    const wanted = facts.podFamilies.includes("IPv6")
      ? ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"]
      : ["net/ipv4/ip_forward"];
    const off = wanted.filter((name) => facts.sysctl(name) === "0");
    if (off.length > 0) {
      return off.map((name) => ({
        severity: "error",
        subject: dotted(name),
        message: `${dotted(name)} is 0: this node forwards no packets, so pods reach nobody elsewhere and nobody reaches them.`,
        remedy: "turn it on, and have /etc/sysctl.d do so at the next boot",
        run: [command`sysctl -w ${dotted(name)}=1`],
      }));
    }
    const links = [
      ...facts.podBridges,
      ...facts.podLinks.filter(({ master }) => master === undefined),
      ...facts.uplinks,
    ];
    return [...new Set(links.map(({ name }) => name))]
      .filter((name) => facts.sysctl(`net/ipv4/conf/${name}/forwarding`) === "0")
      .map((name) => ({
        severity: "error",
        subject: `net.ipv4.conf.${name}.forwarding`,
        message: `net.ipv4.conf.${name}.forwarding is 0: what comes in by ${name} is not forwarded, though ip_forward is 1.`,
        remedy: "turn it on, and see what turned it off",
        run: [command`sysctl -w net/ipv4/conf/${name}/forwarding=1`],
      }));
  },
};

function dotted(name: string): string {
  return name.replaceAll("/", ".");
}

import { type Check, command } from "../finding.ts";

/** The connection tracker's table runs full. */
export const conntrackFull: Check = {
  name: "conntrack-full",
  about: "How full the table of the connection tracker is: when it is, new connections are dropped.",
  seen: ["kubernetes/kubernetes#18604", "kubernetes/kubernetes#71261", "kubernetes/kubernetes#97377"],
  run({ snapshot }) {
    const most = Number(snapshot.sysctls["net/netfilter/nf_conntrack_max"] ?? 0);
    const count = snapshot.conntrack.length;
    const share = most > 0 ? count / most : 0;
    if (share < 0.75) return [];
    return [
      {
        severity: share < 0.9 ? "warning" : "error",
        subject: "net.netfilter.nf_conntrack_max",
        message: `${count} connections are tracked, ${Math.floor(100 * share)} % of the ${most} that may be: when the table is full, packets of new connections are dropped ("nf_conntrack: table full" in the kernel's log).`,
        remedy: "give it more room, for the proxy by conntrack.maxPerCore and conntrack.min",
        run: [command`sysctl -w net.netfilter.nf_conntrack_max=${2 * most}`],
      },
    ];
  },
};

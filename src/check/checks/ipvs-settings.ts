import type { Check, Finding } from "../finding.ts";

/** Settings that IPVS needs for Services. */
export const ipvsSettings: Check = {
  name: "ipvs-settings",
  about: "Whether the kernel's settings for IPVS are as Services need them.",
  seen: ["kubernetes/kubernetes#81775", "kubernetes/kubernetes#93297", "kubernetes/kubernetes#70747"],
  run(facts) {
    if (!facts.proxies.some(({ kind }) => kind === "ipvs")) return [];
    const findings: Omit<Finding, "check">[] = [];
    if (facts.sysctl("net/ipv4/vs/conntrack") === "0") {
      findings.push({
        severity: "error" as const,
        subject: "net.ipv4.vs.conntrack",
        message:
          "net.ipv4.vs.conntrack is 0: connections that IPVS balances are not tracked, so none is masqueraded and answers get lost.",
        remedy: "turn it on",
        run: ["sysctl -w net.ipv4.vs.conntrack=1"],
      });
    }
    const [major = 0, minor = 0] = facts.snapshot.kernel.split(".").map(Number);
    const old = major < 5 || (major === 5 && minor < 9);
    if (old && facts.sysctl("net/ipv4/vs/conn_reuse_mode") === "1") {
      findings.push({
        severity: "warning" as const,
        subject: "net.ipv4.vs.conn_reuse_mode",
        message: `net.ipv4.vs.conn_reuse_mode is 1 on kernel ${facts.snapshot.kernel}: a client that uses a source port again waits a second for its connection.`,
        remedy: "turn it off, or kernel 5.9 or newer",
        run: ["sysctl -w net.ipv4.vs.conn_reuse_mode=0"],
      });
    }
    if (facts.sysctl("net/ipv4/vs/expire_nodest_conn") === "0") {
      findings.push({
        severity: "warning" as const,
        subject: "net.ipv4.vs.expire_nodest_conn",
        message:
          "net.ipv4.vs.expire_nodest_conn is 0: packets of connections whose endpoint is gone are dropped, and their clients wait instead of connecting anew.",
        remedy: "turn it on",
        run: ["sysctl -w net.ipv4.vs.expire_nodest_conn=1"],
      });
    }
    return findings;
  },
};

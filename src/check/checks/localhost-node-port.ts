import { chains as names } from "../../proxy/modes/iptables/names.ts";
import type { Check } from "../finding.ts";

/** Node ports on 127.0.0.1 that the kernel takes for martians. */
export const localhostNodePort: Check = {
  name: "localhost-node-port",
  about: "Whether node ports that are served on 127.0.0.1 (mode iptables) can work: that needs route_localnet.",
  seen: ["kubernetes/kubernetes#57922", "k0sproject/k0s#5760", "kubernetes/kubernetes#138427"],
  run(facts) {
    if (facts.sysctl("net/ipv4/conf/all/route_localnet") !== "0") return [];
    const serves = facts.proxies
      .filter(({ kind, family }) => kind === "iptables" && family === "IPv4")
      .some(({ variant }) =>
        facts.chains
          .filter(
            (chain) =>
              chain.variant === variant &&
              chain.family === "ip" &&
              chain.table === "nat" &&
              chain.name === names.services,
          )
          .flatMap(({ rules }) => rules)
          .some(
            ({ decided, conditions }) =>
              decided.kind === "jump" &&
              decided.chain === names.nodePorts &&
              conditions.destination === undefined &&
              conditions.others.includes("addrtype"),
          ),
      );
    if (!serves) return [];
    return [
      {
        severity: "warning",
        subject: "net.ipv4.conf.all.route_localnet",
        message:
          "Rules serve node ports on 127.0.0.1 too, and net.ipv4.conf.all.route_localnet is 0: the kernel drops such connections as martians.",
        remedy: "turn it on, or, in the proxy's configuration, iptables.localhostNodePorts: false",
        run: ["sysctl -w net.ipv4.conf.all.route_localnet=1"],
      },
    ];
  },
};

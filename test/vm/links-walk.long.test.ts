/** Walks over tunnels and virtual links, in a virtual machine whose kernel has them. */
import { testInVm } from "./suite.ts";

await testInVm("test/vm/links-walk.guest.ts", {
  modules: ["ipv6", "nf_conntrack", "br_netfilter", "ipip", "8021q", "bonding", "macvlan", "ipvlan"],
  env: { PORTOLAN_IPTABLES: "legacy" },
  memory: 512,
  timeout: 180_000,
});

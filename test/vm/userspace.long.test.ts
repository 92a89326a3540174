/** The userspace mode in a virtual machine whose kernel has the old tables of iptables alone. */
import { testInVm } from "./suite.ts";

await testInVm("test/vm/userspace.guest.ts", {
  modules: ["ipv6", "nf_conntrack", "br_netfilter"],
  memory: 512,
  timeout: 600_000,
});

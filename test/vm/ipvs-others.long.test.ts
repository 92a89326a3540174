/** The ipvs mode beside others, in a virtual machine whose kernel has IPVS. */
import { ipvsVm } from "./ipvs.ts";
import { testInVm } from "./suite.ts";

await testInVm("test/vm/ipvs-others.guest.ts", { ...ipvsVm(), timeout: 600_000 });

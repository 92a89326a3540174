/** IPVS and the ipvs mode, in a virtual machine whose kernel has IPVS. */
import { ipvsVm } from "./ipvs.ts";
import { testInVm } from "./suite.ts";

await testInVm("test/vm/ipvs.guest.ts", ipvsVm());

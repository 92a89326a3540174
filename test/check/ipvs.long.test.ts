/** The checks on a node that IPVS serves, in a virtual machine whose kernel has IPVS. */
import { ipvsVm } from "../vm/ipvs.ts";
import { testInVm } from "../vm/suite.ts";

await testInVm("test/check/ipvs.guest.ts", ipvsVm());

/** A whole lab in mode ipvs, in a virtual machine whose kernel has IPVS. */
import { ipvsVm } from "./ipvs.ts";
import { testInVm } from "./suite.ts";

await testInVm("test/vm/ipvs-lab.guest.ts", { ...ipvsVm({ PATIENCE: "60" }), memory: 2048, timeout: 1_500_000 });

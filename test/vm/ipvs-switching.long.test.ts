/** The agent leaves mode ipvs and enters it under load, in a virtual machine whose kernel has IPVS. */
import { ipvsVm } from "./ipvs.ts";
import { testInVm } from "./suite.ts";

await testInVm("test/vm/ipvs-switching.guest.ts", { ...ipvsVm({ PATIENCE: "120" }), timeout: 900_000 });

/** The whole agent in mode ipvs, in a virtual machine whose kernel has IPVS. */
import { ipvsVm } from "./ipvs.ts";
import { testInVm } from "./suite.ts";

await testInVm("test/vm/ipvs-agent.guest.ts", { ...ipvsVm({ PATIENCE: "60" }), timeout: 600_000 });

/** The walk through IPVS: services by hand, and all flows predicted, in virtual machines whose kernels have it. */
import { loadFlowFiles } from "../flows/format.ts";
import { ipvsVm } from "./ipvs.ts";
import { testInVm } from "./suite.ts";

const files = loadFlowFiles().map(({ id }) => id);
const halves = [0, 1].map((half) => files.filter((_, i) => i % 2 === half).join(","));
await Promise.all(
  halves.map((half) => testInVm("test/vm/ipvs-walk.guest.ts", { ...ipvsVm({ FLOWS: half }), timeout: 600_000 })),
);
const { modules, ...options } = ipvsVm();
await testInVm("test/vm/ipvs-hand.guest.ts", { ...options, modules: [...modules, "ipip"] });

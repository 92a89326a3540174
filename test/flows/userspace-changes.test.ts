/** All flows through the userspace mode, the rules of each file made by changing those of the file before. */
import { userspace } from "../../src/proxy/modes/userspace/index.ts";
import { testFlows } from "./modes.ts";

testFlows(userspace, "apply", "userspace-changes");

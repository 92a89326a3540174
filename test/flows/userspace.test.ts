/** All flows through the userspace mode, each file's rules at once. */
import { userspace } from "../../src/proxy/modes/userspace/index.ts";
import { testFlows } from "./modes.ts";

testFlows(userspace, "replace", "userspace");

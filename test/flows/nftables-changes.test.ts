/** All flows through the nftables mode, by changes from one file to the next. */
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { testFlows } from "./modes.ts";

testFlows(nftables, "apply", "nftables-changes");

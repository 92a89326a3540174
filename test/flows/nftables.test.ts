/** All flows through the nftables mode. */
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { testFlows } from "./modes.ts";

testFlows(nftables);

/** All flows through the nftables mode, each file's rules at once. */
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { testFlows } from "./modes.ts";

testFlows(nftables, "replace", "nftables");

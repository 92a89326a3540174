/** All flows through the iptables mode with iptables-nft, each file's rules at once. */
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { testFlows } from "./modes.ts";

testFlows(iptablesFactory("nft"), "replace", "iptables-nft");

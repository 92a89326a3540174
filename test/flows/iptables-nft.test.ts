/** All flows through the iptables mode with iptables-nft. */
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { testFlows } from "./modes.ts";

testFlows(iptablesFactory("nft"), "iptables-nft");

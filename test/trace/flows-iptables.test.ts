/** The flow files, predicted where the iptables mode serves with iptables-nft. */
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { testPredictions } from "./flows.ts";

testPredictions(iptablesFactory("nft"), "iptables-nft");

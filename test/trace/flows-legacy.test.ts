/** The flow files, predicted where the iptables mode serves with iptables-legacy. */
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { testPredictions } from "./flows.ts";
import { lockOfOurOwn } from "./support.ts";

lockOfOurOwn();
testPredictions(iptablesFactory("legacy"), "iptables-legacy");

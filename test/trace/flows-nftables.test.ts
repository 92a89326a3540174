/** The flow files, predicted where the nftables mode serves. */
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { testPredictions } from "./flows.ts";

testPredictions(nftables);

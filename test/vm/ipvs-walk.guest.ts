/** Every row of the flow files, predicted from a snapshot of a node that the ipvs mode serves; runs in a virtual machine. */
import { ipvs } from "../../src/proxy/modes/ipvs/index.ts";
import { testPredictions } from "../trace/flows.ts";

testPredictions(ipvs);

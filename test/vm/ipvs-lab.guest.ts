/** What Services do in a lab in mode ipvs: runs in a virtual machine. */
import { testServices } from "../lab/services.ts";

testServices("ipvs");

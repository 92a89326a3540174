/** The flow files, predicted where the iptables mode serves with iptables-legacy. */
import { after } from "node:test";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { testPredictions } from "./flows.ts";
import { temporaryDirectory } from "./support.ts";

// The lock is one for the whole machine, though the tables of this namespace are nobody else's.
const directory = temporaryDirectory();
process.env.XTABLES_LOCKFILE = `${directory.path}/xtables.lock`;
after(() => directory[Symbol.dispose]());

testPredictions(iptablesFactory("legacy"), "iptables-legacy");

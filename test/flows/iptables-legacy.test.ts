/** All flows through the iptables mode with iptables-legacy, by changes from one file to the next. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { testFlows } from "./modes.ts";

// The lock is one for the whole machine, though the tables of this namespace are nobody else's.
const folder = mkdtempSync(join(tmpdir(), "ptl-flows-"));
process.env.XTABLES_LOCKFILE = join(folder, "xtables.lock");
after(() => rmSync(folder, { recursive: true }));

testFlows(iptablesFactory("legacy"), "apply", "iptables-legacy");

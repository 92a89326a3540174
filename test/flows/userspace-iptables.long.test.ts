/**
 * All flows through the userspace mode with rules of iptables-legacy, as where nf_tables cannot translate; the rules of
 * each file made by changing those of the file before.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { userspaceFactory } from "../../src/proxy/modes/userspace/index.ts";
import { inIptables } from "../../src/proxy/modes/userspace/rules.ts";
import { testFlows } from "./modes.ts";

// The lock is one for the whole machine, though the tables of this namespace are nobody else's.
const folder = mkdtempSync(join(tmpdir(), "ptl-flows-"));
process.env.XTABLES_LOCKFILE = join(folder, "xtables.lock");
after(() => rmSync(folder, { recursive: true }));

testFlows(userspaceFactory([inIptables("legacy")]), "apply", "userspace-iptables");

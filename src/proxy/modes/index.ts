/** The modes that this program has, and which of them to take. */
import { iptables } from "./iptables/index.ts";
import { ipvs } from "./ipvs/index.ts";
import type { ModeFactory } from "./mode.ts";
import { nftables } from "./nftables/index.ts";
import { userspace } from "./userspace/index.ts";

/** All modes, the best first: that is the order in which they are tried where the configuration names none. */
export const modeFactories: readonly ModeFactory[] = [nftables, iptables, ipvs, userspace];

/** The names of all modes, the best first. */
export const modeNames: readonly string[] = modeFactories.map(({ name }) => name);

/** A mode to use, and those that would have been better but cannot be used here. */
export interface ModeChoice {
  readonly factory: ModeFactory;
  readonly passedOver: readonly { readonly name: string; readonly missing: readonly string[] }[];
}

/**
 * Chooses the mode: the one that is named, or else the first that this machine can run.
 *
 * @param wanted a name of `factories`, or empty.
 * @throws an Error that says all that is missing.
 */
export async function chooseMode(wanted: string, factories: readonly ModeFactory[]): Promise<ModeChoice> {
  const candidates = wanted === "" ? factories : factories.filter(({ name }) => name === wanted);
  const passedOver: { name: string; missing: readonly string[] }[] = [];
  for (const factory of candidates) {
    const probe = await factory.probe();
    if (probe.able) return { factory, passedOver };
    passedOver.push({ name: factory.name, missing: probe.missing });
  }
  const reasons = passedOver.map(({ name, missing }) => `mode ${name} cannot be used here: ${missing.join("; ")}`);
  throw new Error(reasons.join("\n"));
}

/** The userspace mode: rules that lead connections to a proxy in this process, and that proxy. */
import type { Family } from "../../../net/address.ts";
import type { Changes, Decision, DecisionKey } from "../../../service/decision.ts";
import type { Desired, Drift, Mode } from "../mode.ts";
import { addOwnAddresses, missingAddresses, ownAddresses } from "./place.ts";
import type { UserspaceProxy } from "./proxy.ts";

/**
 * The running mode. Its rules are those of the nftables mode (or of the iptables mode, where that cannot be used), whose
 * every pool has the proxy as its only endpoint: so front ends, kinds of clients, source ranges, rejects and drops are
 * the kernel's business here as there.
 */
export class UserspaceMode implements Mode {
  readonly name = "userspace";
  readonly families?: readonly Family[];
  readonly translatesTo = new Set(Object.values(ownAddresses));
  readonly #rules: Mode;
  readonly #proxy: UserspaceProxy;
  #families: readonly Family[] = [];

  /**
   * @param proxy goes on when the mode is closed, because the rules stay too.
   * @param rules lead connections to it.
   */
  constructor(proxy: UserspaceProxy, rules: Mode) {
    this.#proxy = proxy;
    this.#rules = rules;
    if (rules.families !== undefined) this.families = rules.families;
  }

  async replace({ settings, decisions }: Desired, signal: AbortSignal): Promise<void> {
    this.#families = Object.keys(settings.families) as Family[];
    addOwnAddresses(this.#families);
    const through = new Map<DecisionKey, Decision>();
    for (const [key, decision] of decisions) through.set(key, await this.#proxy.put(key, decision));
    await this.#rules.replace({ settings, decisions: through }, signal);
    for (const key of new Set([...this.#proxy.keys, ...decisions.keys()])) this.#proxy.settle(key, decisions.get(key));
  }

  async apply(changes: Changes, signal: AbortSignal): Promise<void> {
    const through = new Map<DecisionKey, Decision | undefined>();
    for (const [key, decision] of changes) {
      through.set(key, decision && (await this.#proxy.put(key, decision)));
    }
    await this.#rules.apply(through, signal);
    for (const [key, decision] of changes) this.#proxy.settle(key, decision);
  }

  async audit(signal: AbortSignal): Promise<readonly Drift[]> {
    const gone = missingAddresses(this.#families).map((family) => ({ what: `address ${ownAddresses[family]}: gone` }));
    return [...gone, ...(await this.#rules.audit(signal))];
  }

  watch(onDrift: (drift: Drift) => void, signal: AbortSignal): void {
    this.#rules.watch?.(onDrift, signal);
  }

  close(): void {
    this.#rules.close();
  }
}

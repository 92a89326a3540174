/** The contract of a proxy mode: decisions in, kernel state out. A mode translates; it decides nothing. */
import type { Address, Family } from "../../net/address.ts";
import type { Changes, Decision, DecisionKey } from "../../service/decision.ts";
import type { ProxyOptions } from "../../service/resolve.ts";
import type { NodeSettings } from "../../service/settings.ts";

/** The modes, by the names of KubeProxyConfiguration.mode. */
export type ModeName = "nftables" | "iptables" | "ipvs" | "userspace" | "ebpf" | "kernelspace";

/**
 * Whether this machine can run a mode: if so, what to know of it here, such as which of several programs it would use; if
 * not, everything that is missing, each with its remedy.
 */
export type Probe =
  | { readonly able: true; readonly notes?: readonly string[] }
  | { readonly able: false; readonly missing: readonly string[] };

/** Everything that a mode must make true. */
export interface Desired {
  readonly settings: NodeSettings;
  readonly decisions: ReadonlyMap<DecisionKey, Decision>;
}

/** Something in the kernel that is not as decided. */
export interface Drift {
  /** What, where: `table ip portolan: gone`, `map ip portolan endpoints: 3 elements missing`. */
  readonly what: string;
}

/** A running mode. Its methods are never called while an earlier call of any of them is unfinished. */
export interface Mode {
  readonly name: ModeName;
  /** Those that it can serve on this machine, of those that the kernel has; all if it does not say. */
  readonly families?: readonly Family[];
  /**
   * Addresses of this process that connections are translated to on their way to an endpoint. UDP connections that lead
   * there are not stale.
   */
  readonly translatesTo?: ReadonlySet<Address>;
  /**
   * Makes the kernel as `desired` says, whatever is there now, without a moment in which traffic sees less than either
   * the old or the new state. The first call after start, and the answer to drift or doubt.
   *
   * @throws if the kernel refused; the kernel's state is then the old one, or a mix that the next `replace` mends.
   */
  replace(desired: Desired, signal: AbortSignal): Promise<void>;
  /**
   * Applies what changed since the last success, those that are gone first; work is proportional to the change. Only
   * after a `replace` that succeeded.
   *
   * @throws as `replace`; the caller must then `replace`.
   */
  apply(changes: Changes, signal: AbortSignal): Promise<void>;
  /** Compares the kernel with what was applied last. Read-only. */
  audit(signal: AbortSignal): Promise<readonly Drift[]>;
  /**
   * Calls `onDrift` as soon as somebody else changes what this mode wrote, as far as the kernel tells; until `signal`.
   * May be absent where the kernel tells nothing.
   */
  watch?(onDrift: (drift: Drift) => void, signal: AbortSignal): void;
  /** How many rules there are of this mode in each table, where that says something of the work to change them. */
  readonly rules?: readonly {
    readonly family: Family;
    readonly table: string;
    readonly total: number;
    /** Those written by the last call that wrote. */
    readonly last: number;
  }[];
  /** Frees what this process holds (sockets, listeners). The kernel's state stays and keeps serving. */
  close(): void;
}

/** What each folder of `modes/` exports: how to look for, make and remove a mode. */
export interface ModeFactory {
  readonly name: ModeName;
  /** True if services are served only as long as this process runs. */
  readonly needsProcess?: true;
  probe(): Promise<Probe>;
  /**
   * Sets of the kernel what takes privileges that the process which runs the mode may not have: that one finds it set
   * then, and sets what is missing itself otherwise.
   *
   * @throws an Error that says what cannot be set, and why.
   */
  prepare?(options: ProxyOptions): void;
  create(): Promise<Mode>;
  /**
   * Removes everything this mode may have left in the kernel, needing no state but the kernel's; idempotent.
   *
   * @returns what was removed, in words: `table ip portolan`; empty if there was nothing.
   */
  cleanup(): Promise<readonly string[]>;
  /**
   * As {@link cleanup}, but what connections need that are under way stays, for a mode whose connections `cleanup` would
   * end. Only while another mode serves. To be called again until all is gone; whoever calls it next, in this process or
   * a later one, needs no state but the kernel's.
   *
   * @returns whether all is gone.
   */
  retire?(): Promise<boolean>;
}

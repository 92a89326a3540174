/**
 * What kube-proxy and other modes of this program leave in the kernel. It is removed only after the rules of the mode in
 * use are in place, so that no connection meets a node without rules.
 */
import { listTables, openNftables, Transaction } from "../kernel/nftables/index.ts";
import { errorText, type Logger } from "../telemetry/log.ts";
import type { ModeFactory } from "./modes/mode.ts";

/** Something that can be removed. */
export interface Leftover {
  /** For log lines, e.g. `mode iptables`. */
  readonly name: string;
  /** Idempotent; needs no state but the kernel's. */
  readonly remove: () => Promise<void>;
}

/** What kube-proxy leaves in the kernel beside what has the same shape as in modes of this program. */
export const kubeProxyLeftovers: readonly Leftover[] = [
  { name: "kube-proxy's mode nftables", remove: async () => removeTables("kube-proxy") },
];

function removeTables(name: string): void {
  using socket = openNftables();
  const tables = listTables(socket).filter(
    ({ family, table }) => table === name && (family === "ip" || family === "ip6"),
  );
  if (tables.length === 0) return;
  const transaction = new Transaction();
  for (const table of tables) transaction.deleteTable(table);
  transaction.commit(socket);
}

/** What the other modes may have left while `current` is in use; everything if it is undefined. */
export function leftoversBeside(
  current: string | undefined,
  factories: readonly ModeFactory[],
  others: readonly Leftover[],
): readonly Leftover[] {
  const modes = factories
    .filter(({ name }) => name !== current)
    .map((factory) => ({ name: `mode ${factory.name}`, remove: () => factory.cleanup() }));
  return [...modes, ...others];
}

/**
 * Removes leftovers, one after the other; what fails does not stop the rest.
 *
 * @returns what failed, one line each.
 */
export async function removeLeftovers(leftovers: readonly Leftover[], log: Logger): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const { name, remove } of leftovers) {
    try {
      await remove();
      log.debug(2, "Leftovers removed", { of: name });
    } catch (error) {
      failures.push(`${name}: ${errorText(error)}`);
      log.error(error, "Leftovers not removed", { of: name });
    }
  }
  return failures;
}

/**
 * iptables and ip6tables of one variant, through their own programs: the only stable interface to the legacy tables,
 * and the only one that keeps rules of the nft variant readable for everybody else.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Family } from "../../net/address.ts";
import { openNftables, priorities, Transaction } from "../nftables/index.ts";
import { run } from "./run.ts";
import { type SavedTable, SaveParser } from "./save.ts";

/** The two back ends of iptables: rules in nf_tables, or in the old tables of the kernel. */
export type Variant = "nft" | "legacy";

/** The tables that Portolan looks at. */
export type Table = "filter" | "nat" | "mangle";

/** All tables that the kernel can have. */
export type AnyTable = Table | "raw" | "security";

/** The programs of one variant, as found on this machine. */
export class Xtables {
  readonly variant: Variant;
  /** Such as `1.8.9`. */
  readonly version: string;
  readonly #infix: string;

  /** @param infix what stands between `iptables` and the verb in the programs' names: `-nft`, `-legacy` or nothing. */
  constructor(variant: Variant, version: string, infix: string) {
    this.variant = variant;
    this.version = version;
    this.#infix = infix;
  }

  /** The name of a program: `program("IPv6", "-restore")` is `ip6tables-nft-restore`. */
  program(family: Family, verb: "" | "-restore" | "-save"): string {
    return `${family === "IPv4" ? "iptables" : "ip6tables"}${this.#infix}${verb}`;
  }

  /**
   * Hands `input` to `iptables-restore --noflush --counters`. Each table's part up to its COMMIT is applied whole or
   * not at all; parts before a failing one stay applied. Waits at most 5 s for the lock that xtables programs share.
   *
   * @param input text of the restore format; iterated once more, to name the line, where the program refuses it.
   * @throws an `Error` that names the refused line, the table and the program's words.
   */
  async restore(family: Family, input: Iterable<string>, signal?: AbortSignal): Promise<void> {
    const program = this.program(family, "-restore");
    const args = [...waiting, "--noflush", "--counters"];
    const { status, errors } = await run(program, args, { input, ...(signal && { signal }) });
    if (status !== 0) throw await restoreError(program, status, errors, input);
  }

  /**
   * The tables as they are now, those of `names` that exist. Looking creates nothing, not even the empty table that the
   * legacy programs would make.
   *
   * @throws if the program fails or its output is not of the format.
   */
  async save(family: Family, names: readonly AnyTable[], signal?: AbortSignal): Promise<readonly SavedTable[]> {
    if (this.variant === "legacy") {
      // Without a name the program saves the tables that exist, and starting it once takes less time than once for each.
      const existing = legacyTables(family);
      if (!names.some((name) => existing.has(name))) return [];
      const all = await this.#save(family, [], signal);
      return all.filter(({ name }) => names.some((each) => each === name));
    }
    const tables: SavedTable[] = [];
    for (const name of names) tables.push(...(await this.#save(family, ["-t", name], signal)));
    return tables;
  }

  async #save(family: Family, args: readonly string[], signal?: AbortSignal): Promise<readonly SavedTable[]> {
    const program = this.program(family, "-save");
    const parser = new SaveParser();
    const onOutput = (piece: string) => parser.push(piece);
    const { status, errors } = await run(program, args, { onOutput, ...(signal && { signal }) });
    if (status !== 0) throw new Error(`${[program, ...args].join(" ")}: exit status ${status}: ${oneLine(errors)}`);
    return parser.end();
  }

  /** What keeps the programs from working with this kernel, with the remedy; undefined: nothing. */
  async problem(family: Family): Promise<string | undefined> {
    const program = this.program(family, "");
    const lack = this.variant === "nft" ? lackOfNft() : undefined;
    if (lack !== undefined) return `${program} cannot make table nat: ${lack}: run as root, on a kernel with nf_tables`;
    const { status, errors } = await run(program, [...waiting, "-t", "nat", "-S", "POSTROUTING", "1"]).catch(
      (error: unknown) => ({ status: -1, errors: error instanceof Error ? error.message : String(error) }),
    );
    if (status === 0) return undefined;
    return `${program} cannot read table nat: ${oneLine(errors)}: run as root, on a kernel with ${kernelParts[this.variant][family]}`;
  }

  /**
   * Whether a chain exists. Cheap for small chains of the nft variant; the legacy variant reads the whole table.
   *
   * @throws if the program could not tell, for example because another one kept the lock.
   */
  async hasChain(family: Family, table: Table, chain: string, signal?: AbortSignal): Promise<boolean> {
    if (this.variant === "legacy" && !legacyTables(family).has(table)) return false;
    const program = this.program(family, "");
    const args = [...waiting, "-t", table, "-S", chain, "1"];
    const { status, errors } = await run(program, args, signal && { signal });
    if (status > 1) throw new Error(`${program} -t ${table} -S ${chain}: exit status ${status}: ${oneLine(errors)}`);
    return status === 0;
  }
}

const kernelParts = {
  nft: { IPv4: "nf_tables and nft_compat", IPv6: "nf_tables and nft_compat" },
  legacy: { IPv4: "ip_tables and iptable_nat", IPv6: "ip6_tables and ip6table_nat" },
} as const;

/** Flags since 1.6.2: wait for the lock for 5 s, looking every 100,000 us. */
const waiting: readonly string[] = ["-w", "5", "-W", "100000"];

/** The oldest version that has every flag used here (February 2018). */
export const oldestVersion = "1.6.2";

/** Looks for the programs of both variants; those too old to use are left out. */
export async function findXtables(): Promise<ReadonlyMap<Variant, Xtables>> {
  const found = new Map<Variant, Xtables>();
  for (const infix of ["-nft", "-legacy", ""]) {
    const xtables = await tryPrograms(infix);
    if (xtables !== undefined && !found.has(xtables.variant)) found.set(xtables.variant, xtables);
  }
  return found;
}

/**
 * The variant that this node's other programs use, so that all rules stand in one place: the one that holds kubelet's
 * hint, else the one that holds more rules, else nft. Where nf_tables cannot translate addresses it is legacy.
 *
 * @param found what `findXtables` found.
 * @returns undefined if nothing was found.
 */
export async function chooseXtables(found: ReadonlyMap<Variant, Xtables>): Promise<Xtables | undefined> {
  const both = (["nft", "legacy"] as const).map((variant) => found.get(variant)).filter((each) => each !== undefined);
  if (both.length < 2) return both[0];
  if (lackOfNft() !== undefined) return both[1];
  for (const xtables of both) {
    if (await hasKubeletHint(xtables)) return xtables;
  }
  const counts = await Promise.all(both.map(countRules));
  return (counts[1] ?? 0) > (counts[0] ?? 0) ? both[1] : both[0];
}

/** Why rules of the nft variant cannot stand in this kernel; its programs tell only when they write. Changes nothing. */
function lackOfNft(): string | undefined {
  const table = { family: "ip", table: "portolan-check" } as const;
  const transaction = new Transaction();
  transaction.addTable(table);
  transaction.addChain({
    ...table,
    chain: "nat",
    base: { type: "nat", hook: "prerouting", priority: priorities.dstnat },
  });
  try {
    using socket = openNftables();
    transaction.check(socket);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const kubeletHints = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];

async function hasKubeletHint(xtables: Xtables): Promise<boolean> {
  for (const family of ["IPv4", "IPv6"] as const) {
    const tables = await xtables.save(family, ["mangle"]).catch(() => []);
    if (tables.some(({ chains }) => kubeletHints.some((hint) => chains.has(hint)))) return true;
  }
  return false;
}

async function countRules(xtables: Xtables): Promise<number> {
  let count = 0;
  for (const family of ["IPv4", "IPv6"] as const) {
    for (const table of await xtables.save(family, ["filter", "nat", "mangle"]).catch(() => [])) {
      for (const chain of table.chains.values()) count += chain.rules.length;
    }
  }
  return count;
}

async function tryPrograms(infix: string): Promise<Xtables | undefined> {
  const result = await run(`iptables${infix}`, ["--version"]).catch(() => undefined);
  const [, version, backEnd] = /^iptables v(\d+\.\d+\.\d+)(?: \((\w+)\))?/.exec(result?.output ?? "") ?? [];
  if (version === undefined || compareVersions(version, oldestVersion) < 0) return undefined;
  return new Xtables(backEnd === "nf_tables" ? "nft" : "legacy", version, infix);
}

function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  const differing = left.findIndex((part, i) => part !== right[i]);
  return differing < 0 ? 0 : (left[differing] ?? 0) - (right[differing] ?? 0);
}

/** The legacy tables of the network namespace of this thread; empty without the kernel modules. */
/** The names of the old tables that exist in the calling thread's namespace. */
export function legacyTables(family: Family): ReadonlySet<string> {
  const file = `/proc/thread-self/net/${family === "IPv4" ? "ip_tables_names" : "ip6_tables_names"}`;
  try {
    return new Set(readFileSync(file, "utf8").split("\n"));
  } catch {
    return new Set();
  }
}

/** Finds the line that the program's words mean: `line 12 failed`, `Error occurred at line: 12`. */
async function restoreError(program: string, status: number, errors: string, input: Iterable<string>): Promise<Error> {
  const words = oneLine(errors);
  if (/another app is currently holding the xtables lock/i.test(errors)) {
    return new Error(`${program}: another program has held the lock /run/xtables.lock for over 5 s: ${words}`);
  }
  const number = Number(/\bline:? (\d+)/.exec(errors)?.[1]);
  const found = Number.isNaN(number) ? undefined : await findLine(input, number);
  if (found === undefined) return new Error(`${program}: exit status ${status}: ${words}`);
  const rule =
    found.line === "COMMIT" ? `the kernel refused table ${found.table}` : `${found.line} (table ${found.table})`;
  return new Error(`${program}: line ${number}: ${rule}: ${words}`);
}

async function findLine(input: Iterable<string>, number: number): Promise<{ line: string; table: string } | undefined> {
  let table = "unknown";
  let count = 0;
  for await (const line of createInterface({ input: Readable.from(input) })) {
    if (line.startsWith("*")) table = line.slice(1);
    if (++count === number) return { line, table };
  }
  return undefined;
}

/** A program's words as one line: without the hint how to get help and the note on a flag that newer ones ignore. */
function oneLine(errors: string): string {
  return errors
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("Try `") && !line.includes("deprecated --wait-interval"))
    .join("; ")
    .slice(0, 1000);
}

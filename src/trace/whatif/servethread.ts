/** The thread of `serve.ts`: a mode at work in a namespace that holds a copy of a node's rules. */
import { parentPort, workerData } from "node:worker_threads";
import { enterNamespace } from "../../kernel/namespace.ts";
import { openNftables, type Ruleset, readRuleset } from "../../kernel/nftables/index.ts";
import { iptablesFactory } from "../../proxy/modes/iptables/index.ts";
import { nftables } from "../../proxy/modes/nftables/index.ts";
import { errorText } from "../../telemetry/log.ts";
import type { ServeAnswer, ServeOrder } from "./serve.ts";

parentPort?.postMessage(await answer(workerData as ServeOrder));

async function answer({ namespace, mode, before, after }: ServeOrder): Promise<ServeAnswer> {
  try {
    enterNamespace(namespace);
    using socket = openNftables();
    const { signal } = new AbortController();
    const running = await (mode === "nftables" ? nftables : iptablesFactory("nft")).create();
    try {
      const found = rulesOf(readRuleset(socket));
      await running.replace(before, signal);
      const where = firstDifference(found, rulesOf(readRuleset(socket)));
      if (where !== undefined) return { kind: "differs", where };
      await running.replace(after, signal);
    } finally {
      running.close();
    }
    return { kind: "done" };
  } catch (error) {
    return { kind: "failed", why: errorText(error) };
  }
}

/** Rules and elements in lists by chain and set. What packets have added counts for nothing, nor do names of nameless sets. */
function rulesOf({ rules, sets }: Ruleset): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  const add = (where: string, value: unknown) => {
    const text = JSON.stringify(value, (key, each: unknown) => {
      if (each instanceof Uint8Array) return Buffer.from(each).toString("hex");
      return key === "set" && typeof each === "string" && each.startsWith("__") ? "" : each;
    });
    const list = found.get(where);
    if (list === undefined) found.set(where, [text]);
    else list.push(text);
  };
  for (const { family, table, chain, expressions } of rules) {
    // Counters differ with every packet.
    const kept = expressions.map((each) => (each.kind === "counter" ? { kind: each.kind } : each));
    add(`chain ${family} ${table} ${chain}`, kept);
  }
  for (const { family, table, set, flags = [], elements } of sets) {
    if (set.startsWith("__") || flags.includes("dynamic")) continue;
    for (const { key, data, intervalEnd } of elements) add(`set ${family} ${table} ${set}`, { key, data, intervalEnd });
  }
  for (const [where, list] of found) if (where.startsWith("set")) found.set(where, list.toSorted());
  return found;
}

function firstDifference(
  found: ReadonlyMap<string, readonly string[]>,
  wanted: ReadonlyMap<string, readonly string[]>,
): string | undefined {
  const same = (where: string) => JSON.stringify(found.get(where)) === JSON.stringify(wanted.get(where));
  return [...new Set([...found.keys(), ...wanted.keys()])].find((where) => !same(where));
}

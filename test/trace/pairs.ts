/** Rule sets, at random and written, and the packets that are tried on them. */
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Tally } from "./agreement.ts";
import type { Arena } from "./arena.ts";
import { Random, randomShots, randomTables } from "./grammar.ts";
import { randomIptables } from "./iptables.ts";

/** How much is tried. */
export interface Amount {
  readonly rulesets: number;
  readonly packets: number;
  readonly seed: number;
}

const programs = [
  ["iptables", "ip"],
  ["ip6tables", "ip6"],
] as const;

/** Tables of nf_tables. */
export async function tryNftables(arena: Arena, { rulesets, packets, seed }: Amount): Promise<Tally> {
  const tally = new Tally();
  for (let i = 0; i < rulesets; i++) {
    const random = new Random(seed * 1_000_003 + i);
    const { text } = arena.load(randomTables(random));
    const snapshot = await arena.snapshot();
    tally.hold(snapshot, arena.shoot(randomShots(random, arena, packets)), `rule set ${i} of seed ${seed}:\n${text}`);
  }
  return tally;
}

/** iptables, either variant. */
export async function tryIptables(arena: Arena, variant: "nft" | "legacy", amount: Amount): Promise<Tally> {
  const { rulesets, packets, seed } = amount;
  const tally = new Tally();
  for (let i = 0; i < rulesets; i++) {
    const random = new Random(seed * 1_000_003 + i);
    arena.silence();
    const texts = programs.map(([program, family]) => {
      const { text } = arena.restore(program, variant, randomIptables(random, family));
      return `${program}:\n${text}`;
    });
    const snapshot = await arena.snapshot();
    const shots = randomShots(random, arena, packets);
    const hits = variant === "legacy" ? arena.shootCounted(shots) : arena.shoot(shots);
    tally.hold(snapshot, hits, `rule set ${i} of seed ${seed}:\n${texts.join("\n")}`);
  }
  return tally;
}

const folder = join(import.meta.dirname, "rulesets");

/** The rule sets that are written down, as others make them: by name without its extension. */
export const writtenRulesets: readonly string[] = globSync("*.{nft,iptables}", { cwd: folder }).sort();

/** One of them, with random packets; those of iptables with each variant. */
export async function tryWritten(
  arena: Arena,
  file: string,
  variant: "nft" | "legacy",
  { packets, seed }: Omit<Amount, "rulesets">,
): Promise<Tally> {
  const tally = new Tally();
  const random = new Random(seed);
  const text = readFileSync(join(folder, file), "utf8");
  const { node } = arena;
  arena.silence();
  for (const each of globSync(`${basename(file, ".iptables")}.ipset`, { cwd: folder })) {
    node.exec("ipset", ["restore", "-exist"], { input: readFileSync(join(folder, each), "utf8") });
  }
  if (file.endsWith(".nft")) arena.node.exec("nft", ["-f", "-"], { input: `flush ruleset\n${text}` });
  else node.exec(`iptables-${variant}-restore`, [], { input: text });
  const snapshot = await arena.snapshot();
  const shots = randomShots(random, arena, packets, 30080);
  const counted = file.endsWith(".iptables") && variant === "legacy";
  tally.hold(snapshot, counted ? arena.shootCounted(shots) : arena.shoot(shots), `${file} (${variant})`);
  return tally;
}

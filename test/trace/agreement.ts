/** Holds walks against what the kernel said, and counts. */
import assert from "node:assert/strict";
import type { Snapshot } from "../../src/trace/snapshot/index.ts";
import { compareWith } from "../../src/trace/verify/compare.ts";
import { type Ended, type WalkOptions, walk } from "../../src/trace/walk/index.ts";
import type { Hit, Shot } from "./arena.ts";
import { countedBy } from "./counters.ts";

function describeShot({ protocol, from, to, port }: Shot): string {
  return `${protocol} ${from?.address ?? "node"} to ${to}:${port}`;
}

/** Whether a way is counted as the kernel did. One that ends where the walk follows no more may be counted further. */
function fits(end: Ended, counts: readonly string[]): boolean {
  const own = countedBy(end);
  if (end.outcome.kind !== "unknown") return own.join() === counts.join();
  return own.every((line) => counts.includes(line));
}

/** Walks that take more, of services with very many ways, are given up, and counted as not followed. */
const mostSteps = 20_000;

/** The count of all comparisons so far. */
export class Tally {
  pairs = 0;
  /** Pairs of which the walk says that something is not known to it, and follows both. */
  depends = 0;
  /** Pairs of which the walk says that it did not follow every way. */
  notCompared = 0;
  readonly #reasons = new Map<string, number>();

  /** Compares each packet with its walk. @throws an assertion that shows both, and the rule set. */
  hold(snapshot: Snapshot, hits: readonly Hit[], ruleset: string): void {
    const names = new Map(snapshot.links.map(({ index, name }) => [index, name]));
    const nameOf = (_: string, index: number) => names.get(index) ?? String(index);
    for (const { shot, account, question, counts } of hits) {
      const whole = walk(snapshot, question);
      const follow = (options: WalkOptions) => {
        const walked = walk(snapshot, question, { ...options, steps: mostSteps });
        return counts === undefined ? walked : { ...walked, ends: walked.ends.filter((end) => fits(end, counts)) };
      };
      const comparison = compareWith(follow, whole.place, new Map([[whole.place, account]]), nameOf);
      this.pairs++;
      const unknown = whole.ends.find(
        ({ state, outcome }) => state.assumptions.length > 0 || outcome.kind === "unknown",
      );
      if (unknown !== undefined) {
        this.depends++;
        const why = unknown.state.assumptions[0] ?? ("why" in unknown.outcome ? unknown.outcome.why : "");
        this.#reasons.set(why, (this.#reasons.get(why) ?? 0) + 1);
      }
      if (comparison.kind === "not compared") this.notCompared++;
      if (comparison.kind !== "differs") continue;
      const { parting, end } = comparison;
      const all = walk(snapshot, question, { everyBranch: true, steps: mostSteps }).ends.slice(0, 5);
      const ways = all.map((each) => `${countedBy(each).join("\n")}\n${JSON.stringify(each.outcome)}`);
      assert.fail(
        `${describeShot(shot)}: the kernel says\n${parting.kernel.join("\n")}\n${counts === undefined ? "" : `and counted\n${counts.join("\n")}\n`}the walk, alike up to line ${parting.same}:\n${parting.walk.join("\n")}\n${JSON.stringify(end?.outcome)}\n${counts === undefined ? "" : `it would count\n${ways.join("\n-- or\n")}\n`}with\n${ruleset}`,
      );
    }
  }

  /** What pairs depend on. */
  get reasons(): readonly string[] {
    return [...this.#reasons.keys()];
  }

  /** What has been counted, in a line. */
  toString(): string {
    const share = this.pairs === 0 ? 0 : (100 * this.depends) / this.pairs;
    const reasons = [...this.#reasons].sort((a, b) => b[1] - a[1]).slice(0, 5);
    const why = reasons.length === 0 ? "" : ` (${reasons.map(([text, count]) => `${count}: ${text}`).join("; ")})`;
    return `${this.pairs} pairs agree, ${share.toFixed(2)} % of them depend on something${why}, ${this.notCompared} are not followed`;
  }
}

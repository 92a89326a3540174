/** Runs all checks on the facts about a node. */
import { checks } from "./checks/index.ts";
import type { Facts } from "./facts.ts";
import type { Finding } from "./finding.ts";

const order = ["error", "warning", "note"] as const;

/** All that the checks find: errors, warnings, notes, each in the order of the checks. */
export function findFaults(facts: Facts): readonly Finding[] {
  const found = checks.flatMap((check) => check.run(facts).map((each): Finding => ({ check: check.name, ...each })));
  return order.flatMap((each) => found.filter(({ severity }) => severity === each));
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { explainModes, formatExplanation } from "./explain.ts";
import type { ModeFactory, ModeName } from "./mode.ts";

function factory(name: ModeName, missing: readonly string[], rest: Partial<ModeFactory> = {}): ModeFactory {
  const never = () => Promise.reject(new Error("not asked for"));
  const probe = async () => (missing.length === 0 ? { able: true as const } : { able: false as const, missing });
  return { name, probe, create: never, cleanup: never, ...rest };
}

test("without a name the explanation is of the first mode that can be used, and of what better ones lack", async () => {
  const factories = [
    factory("nftables", ["nf_tables: load the module", "root"]),
    factory("iptables", []),
    factory("userspace", [], { needsProcess: true, probe: async () => ({ able: true, notes: ["in tables"] }) }),
  ];
  const explanation = await explainModes("", factories);
  assert.equal(explanation.chosen, "iptables");
  assert.equal(
    formatExplanation(explanation),
    `MODE       HERE
nftables   no   missing: nf_tables: load the module
                missing: root
iptables   yes
userspace  yes  serves only as long as the agent runs
                in tables

Mode iptables is used: the configuration names none, and it is the best after nftables, which cannot be used here.
`,
  );
});

test("a mode that is named is used or nothing is", async () => {
  const factories = [factory("nftables", []), factory("iptables", ["a program"])];
  const named = await explainModes("nftables", factories);
  assert.match(formatExplanation(named), /\nMode nftables is used: the configuration names it\.\n$/);
  const unable = await explainModes("iptables", factories);
  assert.equal(unable.chosen, undefined);
  assert.match(
    formatExplanation(unable),
    /\nNo mode can be used: iptables cannot; the configuration names it, and no other one is tried\.\n$/,
  );
  const none = await explainModes("", factories.slice(1));
  assert.match(
    formatExplanation(none),
    /\nNo mode can be used: the configuration names none, and this machine can run none\.\n$/,
  );
});

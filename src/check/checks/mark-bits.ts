import { showing, titleOf } from "../chains.ts";
import type { Facts } from "../facts.ts";
import { type Check, type Finding, some } from "../finding.ts";
import { foreignChains, type MarkBit, markBitsOf } from "../marks.ts";
import { bitsCleared, bitsSet } from "../rules/plain.ts";

type Found = Omit<Finding, "check">;

/** Two programs that use one bit of the mark. */
export const markBits: Check = {
  name: "mark-bits",
  about:
    "Whether another program's rules set or clear the bits of packets' marks by which the proxy has packets masqueraded or dropped.",
  seen: ["kubernetes/kubernetes#113659", "kubernetes/kubernetes#19983", "cilium/cilium#8516"],
  run(facts) {
    const bits = markBitsOf(facts);
    if (bits.length === 0) return [];
    return [...byRules(facts, bits), ...byRouting(facts, bits)];
  },
};

/** Hooks at which a bit that is missing is missed: the proxy sets it before, and asks for it behind. */
const between = ["forward", "postrouting"];

function byRules(facts: Facts, bits: readonly MarkBit[]): readonly Found[] {
  return foreignChains(facts).flatMap(({ chain, hooks }) =>
    bits.flatMap(({ bit, meaning }): readonly Found[] => {
      // On their way to this machine itself packets are not masqueraded.
      const sets = [...hooks].some((hook) => hook !== "input" || meaning === "drop");
      const clears = meaning === "masquerade" && between.some((hook) => hooks.has(hook));
      const rulesThat = (wanted: (rule: (typeof chain.rules)[number]) => boolean) =>
        chain.rules.flatMap((rule, i) => (wanted(rule) ? [`${i + 1}`] : []));
      const setting = sets ? rulesThat(({ mark }) => mark !== undefined && (bitsSet(mark) & bit) !== 0) : [];
      const clearing = clears ? rulesThat(({ mark }) => mark !== undefined && (bitsCleared(mark) & bit) !== 0) : [];
      const title = titleOf(chain);
      const found: Found[] = [];
      if (setting.length > 0) {
        found.push({
          severity: "warning",
          subject: `${title}, sets ${hex(bit)}`,
          message: `Rule ${some(setting)} of ${title}, sets bit ${hex(bit)} of the packet's mark, by which the proxy knows packets to ${meaning}: packets that it is about ${meaning === "drop" ? "are dropped" : "get the node's address as their source"}, though no Service is asked.`,
          remedy: remedy(bit, meaning),
          run: [showing(chain)],
        });
      }
      if (clearing.length > 0) {
        found.push({
          severity: "warning",
          subject: `${title}, clears ${hex(bit)}`,
          message: `Rule ${some(clearing)} of ${title}, clears bit ${hex(bit)} of the packet's mark between the proxy's rule that sets it and the one that masquerades by it: such connections to Services are not masqueraded, and their answers get lost.`,
          remedy: remedy(bit, meaning),
          run: [showing(chain)],
        });
      }
      return found;
    }),
  );
}

/** Routing rules: a mark that is routed by is one that somebody sets, at sockets or in rules. */
function byRouting({ snapshot }: Facts, bits: readonly MarkBit[]): readonly Found[] {
  return snapshot.rules.flatMap(({ mark, priority, family }) =>
    bits
      .filter(({ bit }) => mark !== undefined && (mark.value & mark.mask & bit) !== 0)
      .map(({ bit, meaning }) => ({
        severity: "warning" as const,
        subject: `routing rule ${priority} (${family}), ${hex(bit)}`,
        message: `Routing rule ${priority} is about packets with mark ${hex(mark?.value ?? 0)}/${hex(mark?.mask ?? 0)}, of which the proxy knows bit ${hex(bit)} for packets to ${meaning}: packets with that mark are ${meaning === "drop" ? "dropped" : "masqueraded"} if a program sends them, and with a narrow mask packets to Services take that program's routes.`,
        remedy: remedy(bit, meaning),
        run: [family === "IPv6" ? "ip -6 rule" : "ip rule"],
      })),
  );
}

function remedy(bit: number, meaning: MarkBit["meaning"]): string {
  const other = meaning === "masquerade" ? "; or another masqueradeBit in the proxy's configuration" : "";
  return `give the other program a mark, and a mask, without ${hex(bit)} (WireGuard: FwMark; iptables: --set-xmark VALUE/MASK)${other}`;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

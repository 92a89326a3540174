import { runInside } from "../../kernel/programs.ts";
import { type Fault, must, nodeAt } from "./fault.ts";

const rule = ["FORWARD", "-p", "tcp", "-j", "DROP"] as const;

/** Rules that the tools of today do not show. */
export const legacyRules: Fault = {
  name: "legacy-rules",
  deed: "On the first node, a rule of the old iptables (legacy) drops what is forwarded.",
  symptom:
    "Neither `nft list ruleset` nor `iptables -S` of the first node shows anything wrong, and packets to pods elsewhere vanish.",
  explanation:
    "The kernel has two sets of tables, one for iptables-legacy and one for nf_tables, with iptables-nft on top. Both are asked. The tools of one do not show the other: `iptables-legacy-save` shows the rule.",
  remedy: "iptables-legacy -D FORWARD -p tcp -j DROP",
  break: (stage) => {
    must(nodeAt(stage, 0).namespace, "iptables-legacy", "-A", ...rule);
  },
  repair: (stage) => {
    const { namespace } = nodeAt(stage, 0);
    if (runInside(namespace, ["iptables-legacy", "-C", ...rule]).status === 0)
      must(namespace, "iptables-legacy", "-D", ...rule);
  },
};

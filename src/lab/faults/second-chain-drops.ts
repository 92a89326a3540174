import { type Fault, must, nodeAt } from "./fault.ts";

const table = ["inet", "site_firewall"] as const;

/** A firewall of the site that nobody told about pods. */
export const secondChainDrops: Fault = {
  name: "second-chain-drops",
  deed: "A table of its own, with a forward chain of a later priority, drops new TCP connections on the first node.",
  symptom: "Every rule of the proxy on the first node is right, and packets to pods elsewhere vanish nevertheless.",
  explanation:
    "Every base chain of a hook is asked, in the order of their priorities. That one of them accepts ends that chain alone; one that drops has the last word. `nft list ruleset` shows all chains with `hook forward`.",
  remedy: "nft delete table inet site_firewall, or a rule in it that accepts the pods' prefix",
  break: (stage) => {
    const { namespace } = nodeAt(stage, 0);
    must(namespace, "nft", "add", "table", ...table);
    must(
      namespace,
      "nft",
      "add",
      "chain",
      ...table,
      "forward",
      "{ type filter hook forward priority 50; policy accept; }",
    );
    must(namespace, "nft", "add", "rule", ...table, "forward", "meta", "l4proto", "tcp", "ct", "state", "new", "drop");
  },
  repair: (stage) => {
    const { namespace } = nodeAt(stage, 0);
    // So that there is something to delete.
    must(namespace, "nft", "add", "table", ...table);
    must(namespace, "nft", "delete", "table", ...table);
  },
};

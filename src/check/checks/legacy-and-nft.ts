import { chains as names } from "../../proxy/modes/iptables/names.ts";
import type { PlainChain } from "../chains.ts";
import { type Check, some } from "../finding.ts";

const builtIn = new Set(["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]);
const tables = new Set(["raw", "mangle", "nat", "filter", "security"]);

/** Chains that kubelet has a use for too, so that a proxy leaves them when it goes to the other variant. */
const kubelets = new Set<string>([names.markMasq, names.kubeletFirewall]);

/** Whether a chain has rules that matter: not those that kubelet alone would need. */
function counts(chain: PlainChain): boolean {
  const { name, size } = chain;
  if (size === 0 || kubelets.has(name)) return false;
  return size > 1 || chain.rules.some(({ decided }) => decided.kind !== "jump" || !kubelets.has(decided.chain));
}

/** Both variants of iptables at work. */
export const legacyAndNft: Check = {
  name: "legacy-and-nft",
  about: "Whether both variants of iptables have rules: each tool shows those of one, and the kernel asks both.",
  seen: ["kubernetes/kubernetes#71305", "kubernetes/kubernetes#109811", "kubernetes/kubernetes#112477"],
  run({ chains }) {
    return (["ip", "ip6"] as const).flatMap((family) => {
      const program = family === "ip" ? "iptables" : "ip6tables";
      const of = (variant: PlainChain["variant"]) =>
        chains.filter((each) => each.variant === variant && each.family === family && tables.has(each.table));
      const legacy = of("legacy").filter(counts);
      const isIptables = of("nftables").some(({ name, base }) => base !== undefined && builtIn.has(name));
      const nft = isIptables ? of("nftables").filter(counts) : [];
      if (legacy.length === 0 || nft.length === 0) return [];
      const services = [legacy, nft].every((list) =>
        list.some(({ name, table }) => table === "nat" && name === names.services),
      );
      const where = some(legacy.map(({ table, name }) => `${table} ${name}`));
      return [
        {
          severity: services ? ("error" as const) : ("warning" as const),
          subject: program,
          message: services
            ? `Rules for Services stand in both variants of ${program}, legacy and nft: packets are translated by one and judged by both, and the older ones are never updated.`
            : `Both variants of ${program}, legacy and nft, have rules, and the kernel asks both; ${program} -S shows those of one only. Legacy: ${where}.`,
          remedy: "look at both, have all programs use one variant, then flush the other, or reboot",
          run: [`${program}-legacy-save`, `${program}-nft-save`, `update-alternatives --config ${program}`],
        },
      ];
    });
  },
};

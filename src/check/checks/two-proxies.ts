import { families } from "../../net/address.ts";
import type { Facts } from "../facts.ts";
import type { Check } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";

/** Rules of two proxies, of which at most one is at work. */
export const twoProxies: Check = {
  name: "two-proxies",
  about:
    "Whether one proxy alone has rules for Services: what another one left decides, too, and nobody keeps it up to date.",
  seen: ["kubernetes/kubernetes#102314", "kubernetes/kubernetes#109286", "kubernetes/kubernetes#119265"],
  run(facts) {
    return families.flatMap((family) => {
      const [first, ...others] = facts.proxies.filter((proxy) => proxy.family === family);
      const other = others.find((each) => first !== undefined && each.kind !== first.kind);
      if (first === undefined || other === undefined) return [];
      return [
        {
          severity: "error" as const,
          subject: `proxies for ${family}`,
          message: `Two proxies have rules for Services over ${family}: ${first.title}, and ${other.title}. Whichever comes first decides; the rules of the one that does not run any more lead to pods that are gone, and refuse Services that have pods by now.`,
          remedy:
            "see that one of them runs here; remove the rules of both, and restart that one at once: until it is up, Services do not answer",
          run: ["portolan proxy --cleanup"],
        },
      ];
    });
  },
};

/** Whether a proxy's chains of iptables may be the leftovers of one that another took the place of. */
export function mayBeLeft({ proxies }: Facts, { kind, family }: ProxyFound): boolean {
  const isTable = (each: ProxyFound) => each.kind === "portolan" || each.kind === "kube-proxy";
  return kind === "iptables" && proxies.some((each) => each.family === family && isTable(each));
}

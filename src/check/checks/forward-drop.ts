import { families } from "../../net/address.ts";
import { type Prefix, prefixAddress, prefixContains, prefixFamily, prefixLength } from "../../net/prefix.ts";
import { chains as names } from "../../proxy/modes/iptables/names.ts";
import { tableComment } from "../../proxy/modes/nftables/layout.ts";
import { type Ended, stepsOf } from "../../trace/walk/index.ts";
import { betweenPods, endsOf } from "../asked.ts";
import { familiesOf, type PlainChain, siblingsOf, titleOf } from "../chains.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, type Finding } from "../finding.ts";
import type { Conditions, PlainRule, Wanted } from "../rules/plain.ts";

/** How a chain ends for new connections of pods: a rule may accept them, one drops them, or its end is reached. */
type End = "accepts" | "end" | { readonly drops: string };

const kubeProxys: ReadonlySet<string> = new Set(Object.values(names));
/** Conditions that only connections meet which something else let through before. */
const notNew = new Set(["ct status", "connmark"]);
const newState = 8;
/** Jumps that are followed, one inside another. */
const deepest = 8;

/** A firewall that drops what is forwarded for pods. */
export const forwardDrop: Check = {
  name: "forward-drop",
  about:
    "Whether a chain of the forward hook drops what pods send or get: by its policy with no rule that accepts them, or by a rule for everybody. That another chain accepts it does not help.",
  seen: [
    "kubernetes/kubernetes#40182",
    "kubernetes/kubernetes#39823",
    "weaveworks/weave#2758",
    "projectcalico/calico#875",
  ],
  run(facts) {
    if (!facts.isNode) return [];
    const own = new Set(
      facts.snapshot.nftables.tables
        .filter(({ comment, table }) => comment === tableComment || table === "kube-proxy")
        .map(({ family, table }) => `${family} ${table}`),
    );
    const served =
      facts.podFamilies.length > 0
        ? facts.podFamilies
        : families.filter((family) => facts.proxies.some((proxy) => proxy.family === family));
    return facts.chains.flatMap((chain) => {
      const { base, variant, family, table } = chain;
      if (
        base?.hook !== "forward" ||
        base.type !== "filter" ||
        (variant === "nftables" && own.has(`${family} ${table}`))
      )
        return [];
      const concerned = familiesOf(chain).filter((each) => served.includes(each));
      if (concerned.length === 0) return [];
      const siblings = siblingsOf(facts.chains, chain);
      let end = examine(facts, chain, siblings, deepest);
      if (end === "end" && base.policy === "drop")
        end = { drops: "by its policy, and no rule of it accepts what is for pods" };
      if (end === "accepts" && base.policy === "drop") {
        // Of rules about some packets only following packets shows whether they are for pods.
        const lost = betweenPods(facts).find(({ question }) =>
          endsOf(facts, question).every((each) => endsAtPolicy(each, chain)),
        );
        if (lost !== undefined) end = { drops: `by its policy, that is for example connections ${lost.title}` };
      }
      if (end === "end" || end === "accepts") return [];
      return [
        {
          severity: "error" as const,
          subject: titleOf(chain),
          message: `${titleOf(chain)}, drops ${end.drops}: packets between pods and other machines vanish. All chains of the hook are asked, and one that drops has the last word.`,
          ...remedy(facts, chain, base.policy === "drop"),
        },
      ];
    });
  },
};

function endsAtPolicy({ state, outcome }: Ended, { variant, family, table, name }: PlainChain): boolean {
  if (outcome.kind !== "dropped" || state.assumptions.length > 0) return false;
  const last = stepsOf(state).findLast(({ kind }) => kind === "policy");
  return (
    last?.kind === "policy" &&
    last.verdict === "drop" &&
    last.chain === name &&
    last.table === (variant === "legacy" ? `iptables-legacy ${table}` : table) &&
    last.family === family
  );
}

function examine(facts: Facts, chain: PlainChain, siblings: ReadonlyMap<string, PlainChain>, depth: number): End {
  for (const [i, rule] of chain.rules.entries()) {
    const { conditions, decided } = rule;
    if (!mayBePods(facts, conditions)) continue;
    const all = isForAll(facts, rule);
    const where = chain.base === undefined ? ` of chain ${chain.name}` : "";
    switch (decided.kind) {
      case "accept":
        return "accepts";
      case "drop":
      case "reject":
        if (all) return { drops: `with rule ${i + 1}${where}${whichOf(conditions)}` };
        break;
      case "return":
        if (all) return "end";
        break;
      case "jump":
      case "goto": {
        const target = siblings.get(decided.chain);
        // What proxies have here accepts what was translated, and drops what is invalid.
        if (target === undefined || depth === 0 || kubeProxys.has(decided.chain)) break;
        const end = examine(facts, target, siblings, depth - 1);
        if (end === "accepts" || (all && end !== "end")) return end;
        if (all && decided.kind === "goto") return "end";
      }
    }
  }
  return "end";
}

/** Whether new connections of pods, or to pods, may meet the conditions. */
function mayBePods(facts: Facts, { input, output, source, destination, states, family, others }: Conditions): boolean {
  if (states !== undefined && (states & newState) === 0) return false;
  if (others.some((other) => notNew.has(other))) return false;
  if (family !== undefined && facts.podFamilies.length > 0 && !facts.podFamilies.includes(family)) return false;
  const { podPrefixes } = facts;
  const ends = [source, destination].filter((end) => end !== undefined && !end.not) as readonly Wanted<Prefix>[];
  // One end may be any machine; that neither is a pod shows only where both are given.
  if (
    ends.length === 2 &&
    podPrefixes.length > 0 &&
    !ends.some(({ value }) => podPrefixes.some((pods) => overlap(value, pods)))
  )
    return false;
  return [input, output].every((name) => name === undefined || name.not || concernsPods(facts, name.value));
}

/** Whether all new connections of pods meet the conditions, as far as they are of one protocol. */
function isForAll(facts: Facts, { conditions }: PlainRule): boolean {
  const { input, output, source, destination, protocol, others } = conditions;
  if (others.length > 0 || (protocol !== undefined && (protocol.not || ![6, 17].includes(protocol.value))))
    return false;
  const { podPrefixes } = facts;
  const covers = (end: Wanted<Prefix> | undefined) =>
    end === undefined || (!end.not && podPrefixes.some((pods) => contains(end.value, pods)));
  if (!covers(source) || !covers(destination)) return false;
  // With both ends given, or one that is one pod's alone, it is somebody's policy.
  if (source !== undefined && destination !== undefined) return false;
  return [input, output].every(
    (name) => name === undefined || (name.not ? !concernsPods(facts, name.value) : concernsPods(facts, name.value)),
  );
}

/** Whether packets of pods may come or go by an interface of this name. */
function concernsPods(facts: Facts, name: string): boolean {
  const pods = new Set([...facts.podBridges, ...facts.podLinks].map(({ index }) => index));
  return facts.snapshot.links.some(({ name: each, index, kind, loopback, master }) => {
    if (name.endsWith("+") ? !each.startsWith(name.slice(0, -1)) : each !== name) return false;
    if (loopback) return false;
    // Bridges of container engines are none of the pods'.
    const foreign = kind === "bridge" || (kind === "veth" && master !== undefined);
    return pods.size === 0 || pods.has(index) || !foreign;
  });
}

function whichOf({ protocol, states }: Conditions): string {
  const what = protocol === undefined ? "" : protocol.value === 6 ? "TCP" : "UDP";
  const which = [states === newState ? "new" : "", what].filter((word) => word !== "").join(" ");
  return which === "" ? " everything" : ` all ${which === "new" ? "new connections" : which}`;
}

function remedy({ podPrefixes }: Facts, chain: PlainChain, policy: boolean): Pick<Finding, "remedy" | "run"> {
  const { variant, family, table, name } = chain;
  const isIptables = variant === "legacy" || (table === "filter" && name === "FORWARD");
  const own = podPrefixes.filter((prefix) => familiesOf(chain).includes(prefixFamily(prefix)));
  const accept = `have it accept what comes from pods and goes to pods (PODS: the prefix that all pods are in${own.length === 0 ? "" : `, ${own.join(" and ")} among them`})`;
  const what = `${policy ? "" : "delete the rule that drops, or "}${accept}`;
  if (isIptables) {
    const tool = `${family === "ip6" ? "ip6tables" : "iptables"}${variant === "legacy" ? "-legacy" : ""}`;
    const ends = ["-s", "-d"].map((end) => command`${tool} -I ${name} ${end} PODS -j ACCEPT`);
    return { remedy: what, run: [command`${tool} -S ${name}`, ...ends] };
  }
  const words = familiesOf(chain).filter(
    (each) => own.length === 0 || own.some((prefix) => prefixFamily(prefix) === each),
  );
  const inserts = words.flatMap((each) =>
    ["saddr", "daddr"].map(
      (end) => command`nft insert rule ${family} ${table} ${name} ${each === "IPv4" ? "ip" : "ip6"} ${end} PODS accept`,
    ),
  );
  return { remedy: what, run: [command`nft -a list chain ${family} ${table} ${name}`, ...inserts] };
}

function contains(outer: Prefix, inner: Prefix): boolean {
  return (
    prefixFamily(outer) === prefixFamily(inner) &&
    prefixLength(outer) <= prefixLength(inner) &&
    prefixContains(outer, prefixAddress(inner))
  );
}

function overlap(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

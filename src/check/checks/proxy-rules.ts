import { familyOf } from "../../net/address.ts";
import { canaryTables, jumps } from "../../proxy/modes/iptables/fixed.ts";
import { chains as names } from "../../proxy/modes/iptables/names.ts";
import { type Ended, type Question, type Step, stepsOf } from "../../trace/walk/index.ts";
import { carried, endsOf, toServices } from "../asked.ts";
import type { PlainChain } from "../chains.ts";
import type { Facts } from "../facts.ts";
import { type Check, type Finding, some } from "../finding.ts";
import type { ProxyFound } from "../proxies.ts";
import { mayBeLeft } from "./two-proxies.ts";

type Found = Omit<Finding, "check">;

const health = ["curl -i http://127.0.0.1:10256/healthz"];

/** What another program does to a proxy's rules is seen by a proxy that runs. */
const restart = "see whether the proxy runs, and restart it: it puts back what is missing";

/** Rules of a proxy that somebody flushed or changed. */
export const proxyRules: Check = {
  name: "proxy-rules",
  about:
    "Whether the fixed part of the service proxy's rules is there and whole: its tables, hooks, jumps, and canary chains.",
  seen: ["rancher/rke2#10469", "k3s-io/k3s#7542", "kubernetes/kubernetes#81517"],
  run: (facts) => [
    ...nobody(facts),
    ...facts.proxies.filter((proxy) => !mayBeLeft(facts, proxy)).flatMap((proxy) => brokenOf(facts, proxy)),
  ],
};

/** Links of network plugins that serve Services by other means: Cilium, Calico's eBPF, Antrea, OVN, kube-router. */
const servingLinks = new Set([
  "cilium_host",
  "cilium_net",
  "bpfin.cali",
  "bpfout.cali",
  "antrea-gw0",
  "ovn-k8s-mp0",
  "kube-dummy-if",
]);

/** Services, and no rules for them. */
function nobody({ cluster, node, proxies, snapshot }: Facts): readonly Found[] {
  if (cluster === undefined || node === undefined || snapshot.anonymised) return [];
  if (snapshot.links.some(({ name }) => servingLinks.has(name))) return [];
  const families = new Set(cluster.services.flatMap(({ clusterIPs }) => clusterIPs).map(familyOf));
  const mine = new Set(node.addresses.map(familyOf));
  return [...families]
    .filter((family) => mine.has(family) && !proxies.some((proxy) => proxy.family === family))
    .map((family) => ({
      severity: "error",
      subject: `Services over ${family}`,
      message: `There are no rules of any service proxy for ${family} on this node (${node.name}): no Service answers to it and its pods. Somebody flushed them, or no proxy ever ran.`,
      remedy: restart,
      run: health,
    }));
}

function brokenOf(facts: Facts, proxy: ProxyFound): readonly Found[] {
  const { chains } = facts;
  const { kind, variant, table } = proxy;
  const family = proxy.family === "IPv4" ? "ip" : "ip6";
  const own = chains.filter((chain) => chain.variant === variant && chain.family === family);
  const isOwnTable = kind === "portolan" || kind === "kube-proxy";
  const inTable = own.filter((chain) => chain.table === table);
  const problems = [
    ...foreignRules(inTable, kind),
    ...(isOwnTable ? ownTable(inTable, kind === "portolan") : iptables(own, kind)),
  ];
  if (problems.length === 0) return passedBy(facts, proxy);
  return [
    {
      severity: "error",
      subject: proxy.title,
      message: `${proxy.title} is not whole: ${problems.length === 1 ? problems[0] : some(problems)}. Somebody flushed or changed it, and Services fail in part or altogether.`,
      remedy: restart,
      run: health,
    },
  ];
}

/** Packets to Services that get past rules which are whole, for others decide before them. */
function passedBy(facts: Facts, proxy: ProxyFound): readonly Found[] {
  // What IPVS takes keeps its destination.
  if (proxy.kind === "ipvs" || facts.proxies.filter(({ family }) => family === proxy.family).length > 1) return [];
  const asked = toServices(facts, proxy.family).map(({ title, question, trace }) => {
    const ends = endsOf(facts, question);
    const past = ends.filter((end) => isPast(end, question));
    return {
      title,
      trace,
      node: question.input === undefined,
      lost: past.length === ends.length ? past[0] : undefined,
    };
  });
  return [true, false].flatMap((node): readonly Found[] => {
    // If some get there, the rules for the others are at fault, which is told elsewhere.
    const all = asked.filter((each) => each.node === node);
    const [first] = all;
    if (first?.lost === undefined || !all.every(({ lost }) => lost !== undefined)) return [];
    if (node && first.lost.outcome.kind === "no route") {
      return [
        {
          severity: "error",
          subject: `${proxy.title}, from this node`,
          message: `Packets ${first.title} find no route, which the kernel looks for before it asks the proxy's rules: Services do not answer to programs of this node.`,
          remedy: "a default route, or one for the addresses of Services",
          run: [proxy.family === "IPv6" ? "ip -6 route" : "ip route", first.trace],
        },
      ];
    }
    const rule = stepsOf(first.lost.state).find((step) => isForeign(step, proxy));
    const by =
      rule?.kind === "rule"
        ? `, and rule ${rule.number} of table ${rule.family} ${rule.table}, chain ${rule.chain}, matches on the way`
        : "";
    return [
      {
        severity: "error",
        subject: `${proxy.title}, ${node ? "from this node" : "from pods"}`,
        message: `Packets ${first.title} pass ${proxy.title} untranslated${by}: no endpoint ever gets them, and so it is with other Services.`,
        remedy:
          "see what decides before the proxy's rules, or keeps packets from the connection tracker, and delete it",
        run: [first.trace],
      },
    ];
  });
}

/** Whether a rule of somebody else decided. */
function isForeign(step: Step, { kind, table }: ProxyFound): boolean {
  if (step.kind !== "rule" || step.verdict.kind === "jump" || step.verdict.kind === "goto") return false;
  return kind === "iptables" ? !step.chain.startsWith("KUBE-") : step.table !== table;
}

/** Whether a packet to a Service ends as it began. What somebody's rule drops is that somebody's affair. */
function isPast({ state, outcome }: Ended, { packet }: Question): boolean {
  if (outcome.kind === "unknown" || outcome.kind === "dropped" || outcome.kind === "rejected") return false;
  return state.assumptions.length === 0 && carried(state).packet.destination === packet.destination;
}

/** The base chains for Services, as Portolan and kube-proxy both call them, by hook. */
const hooks = { prerouting: "nat-prerouting", output: "nat-output", postrouting: "nat-postrouting" } as const;

/** @param allHaveRules whether a chain without rules is wrong. */
function ownTable(chains: readonly PlainChain[], allHaveRules: boolean): readonly string[] {
  const problems: string[] = [];
  for (const [hook, name] of Object.entries(hooks)) {
    const chain = chains.find((each) => each.name === name);
    if (chain === undefined) problems.push(`chain ${name} is gone`);
    else if (chain.base?.hook !== hook) problems.push(`chain ${name} is on no hook ${hook}`);
    else if (chain.size === 0) problems.push(`chain ${name} has no rules`);
  }
  const empty = allHaveRules ? chains.filter(({ size, base }) => size === 0 && base === undefined) : [];
  return [...problems, ...empty.map(({ name }) => `chain ${name} has no rules`)];
}

/** Chains that are looked into for rules of others: the shared ones, and some of services and endpoints. */
const enough = 500;

/** What rules of a proxy never decide in the chains that lead to endpoints. */
const strangers: Readonly<
  Record<ProxyFound["kind"], { readonly chains: RegExp; readonly decisions: readonly string[] }>
> = {
  portolan: { chains: /^(nat-|masquerade-)/, decisions: ["accept", "drop", "reject"] },
  "kube-proxy": {
    chains: /^(nat-|services$|service-|external-|local-|endpoint-)/,
    decisions: ["accept", "drop", "reject"],
  },
  iptables: {
    chains: /^KUBE-(SERVICES|NODEPORTS|(SVC|SVL|EXT|FW|SEP)-.*)$/,
    decisions: ["accept", "drop", "reject", "return"],
  },
  // The chains of this mode accept what IPVS is to have.
  ipvs: { chains: /^$/, decisions: [] },
};

/** Rules that somebody added by hand where a proxy has none of the kind. */
function foreignRules(chains: readonly PlainChain[], kind: ProxyFound["kind"]): readonly string[] {
  const { chains: pattern, decisions } = strangers[kind];
  return chains
    .filter(({ name }) => pattern.test(name))
    .sort((a, b) => a.name.length - b.name.length)
    .slice(0, enough)
    .flatMap(({ name, rules }) =>
      rules.flatMap(({ decided }, i) =>
        decisions.includes(decided.kind)
          ? [`rule ${i + 1} of chain ${name} is not the proxy's: it says ${decided.kind}`]
          : [],
      ),
    );
}

function iptables(chains: readonly PlainChain[], kind: ProxyFound["kind"]): readonly string[] {
  const problems: string[] = [];
  const find = (table: string, name: string) => chains.find((chain) => chain.table === table && chain.name === name);
  for (const { table, from, to } of jumps) {
    // The nat table is what Services cannot do without; the rest differs from version to version.
    if (table !== "nat") continue;
    const leads = find(table, from)?.rules.some(({ decided }) => decided.kind === "jump" && decided.chain === to);
    if (!leads) problems.push(`chain ${from} of table ${table} has no jump to ${to}`);
  }
  for (const name of [names.services, names.postrouting, names.markMasq]) {
    const chain = find("nat", name);
    if (chain === undefined) problems.push(`chain ${name} of table nat is gone`);
    else if (chain.size === 0) problems.push(`chain ${name} of table nat has no rules`);
  }
  if (kind === "iptables") {
    const without = canaryTables.filter((table) => find(table, names.canary) === undefined);
    if (without.length > 0 && without.length < canaryTables.length) {
      problems.push(`table ${some(without)} was flushed: its chain ${names.canary} is gone`);
    }
  }
  return problems;
}

/** The rules of one service port: a decision written as chains. */
import { formatHostPort } from "../../../net/protocol.ts";
import {
  type Decision,
  type Endpoint,
  type FrontEnd,
  formatServicePort,
  type Outcome,
} from "../../../service/decision.ts";
import type { Context } from "./context.ts";
import { chains, endpointChain, lowerCase, type ServiceChains, serviceChains } from "./names.ts";

/** A rule for a chain that all services share. */
export interface SharedRule {
  readonly table: "filter" | "nat";
  readonly chain: string;
  /** The rule without `-A` and chain. */
  readonly rule: string;
}

/** A chain of table nat that belongs to one service port or endpoint. */
export interface OwnChain {
  readonly name: string;
  /** The rules without `-A` and chain. */
  readonly rules: readonly string[];
}

/** Everything that a service port brings into the tables. */
export interface ServiceRules {
  readonly shared: readonly SharedRule[];
  readonly own: readonly OwnChain[];
}

/** What one call of `compileService` works with. */
interface Work {
  readonly decision: Decision;
  readonly context: Context;
  /** `shop/web:http`. */
  readonly name: string;
  /** `-m tcp -p tcp`. */
  readonly protocol: string;
  readonly chains: ServiceChains;
  readonly comments: boolean;
}

type Pool = (Outcome & { readonly kind: "balance" })["pool"];
type External = Exclude<FrontEnd, { readonly kind: "ClusterIP" }>;

/**
 * The rules of a service port, as kube-proxy writes them.
 *
 * @param comments false leaves out the comments in the chains of services and endpoints, 40 % of the text: for large
 *   clusters.
 */
export function compileService(decision: Decision, context: Context, comments: boolean): ServiceRules {
  const protocol = lowerCase[decision.service.protocol];
  const work: Work = {
    decision,
    context,
    name: formatServicePort(decision.service),
    protocol: `-m ${protocol} -p ${protocol}`,
    chains: serviceChains(decision.service),
    comments,
  };
  const external = externalFrontEnds(decision.frontEnds);
  const shared: SharedRule[] = [];
  for (const frontEnd of decision.frontEnds) {
    if (frontEnd.kind === "ClusterIP") shared.push(clusterIPRule(frontEnd, work));
  }
  for (const frontEnd of external) shared.push(...externalRules(frontEnd, work));
  if (decision.healthCheckNodePort !== undefined) {
    const match = `-m tcp -p tcp --dport ${decision.healthCheckNodePort}`;
    const rule = `${comment(`${work.name} health check node port`)} ${match} -j ACCEPT`;
    shared.push({ table: "filter", chain: chains.nodePorts, rule });
  }
  return { shared, own: ownChains(external, work) };
}

/** The endpoints of both pools, each once. */
export function endpointsOf(decision: Decision): readonly Endpoint[] {
  const { cluster, local } = decision;
  if (local.length === 0 || local === cluster) return cluster;
  if (cluster.length === 0) return local;
  const known = new Set(cluster.map(target));
  return [...cluster, ...local.filter((endpoint) => !known.has(target(endpoint)))];
}

function ownChains(external: readonly External[], work: Work): OwnChain[] {
  const { decision, chains: names } = work;
  const own: OwnChain[] = [];
  const reachable = external.find((frontEnd) => balances(frontEnd, work));
  if (reachable !== undefined) {
    own.push({ name: names.external, rules: externalChain(reachable, work) });
    const sources = new Set(external.flatMap((frontEnd) => sourcesOf(frontEnd) ?? []));
    if (sources.size > 0) own.push({ name: names.firewall, rules: firewallChain(sources, work) });
  }
  for (const pool of ["cluster", "local"] as const) {
    if (!decision.frontEnds.some((frontEnd) => poolsOf(frontEnd, work).includes(pool))) continue;
    own.push({ name: names[pool], rules: [...masqueradeRules(pool, work), ...balanceRules(decision[pool], work)] });
  }
  if (own.length === 0) return own;
  for (const endpoint of endpointsOf(decision)) {
    own.push({ name: endpointChain(decision.service, endpoint), rules: endpointRules(endpoint, work) });
  }
  return own;
}

/** Table nat where the cluster IP leads somewhere, table filter where it is refused. */
function clusterIPRule(frontEnd: FrontEnd, work: Work): SharedRule {
  const { other } = frontEnd.outcomes;
  if (other.kind !== "balance") {
    return { table: "filter", chain: chains.services, rule: refusal(other, destination(frontEnd, work), work) };
  }
  const rule = `${comment(`${work.name} cluster IP`)} ${destination(frontEnd, work)} -j ${work.chains[other.pool]}`;
  return { table: "nat", chain: chains.services, rule };
}

/** Cluster-IP traffic that must be masqueraded, at the top of the chain that it goes to. */
function masqueradeRules(pool: Pool, work: Work): string[] {
  const { pods } = work.context;
  const rules: string[] = [];
  for (const frontEnd of work.decision.frontEnds) {
    const { pod, other } = frontEnd.outcomes;
    if (frontEnd.kind !== "ClusterIP" || other.kind !== "balance" || other.pool !== pool || !other.masquerade) continue;
    const everyone = pods === undefined || (pod.kind === "balance" && pod.masquerade);
    const match = `${comment(`${work.name} cluster IP`)} ${destination(frontEnd, work)}`;
    rules.push(`${match}${everyone ? "" : ` ${pods.areNot}`} -j ${chains.markMasq}`);
  }
  return rules;
}

/** What leads to the external chain, and what refuses those that it does not lead further. */
function externalRules(frontEnd: External, work: Work): SharedRule[] {
  const { name } = work;
  const match = destination(frontEnd, work);
  const rules: SharedRule[] = [];
  const reachable = balances(frontEnd, work);
  if (frontEnd.kind === "NodePort") {
    if (reachable) rules.push(...nodePortRules(frontEnd.port, work));
  } else if (reachable) {
    const firewalled = sourcesOf(frontEnd) !== undefined;
    const kind = frontEnd.kind === "ExternalIP" ? "external IP" : "loadbalancer IP";
    const next = firewalled ? work.chains.firewall : work.chains.external;
    rules.push({ table: "nat", chain: chains.services, rule: `${comment(`${name} ${kind}`)} ${match} -j ${next}` });
    if (firewalled) {
      const why = comment(`${name} traffic not accepted by ${work.chains.firewall}`);
      rules.push({ table: "filter", chain: chains.proxyFirewall, rule: `${why} ${match} -j DROP` });
    }
  }
  const { other } = frontEnd.outcomes;
  if (other.kind !== "balance") {
    rules.push({ table: "filter", chain: chains.externalServices, rule: refusal(other, match, work) });
  }
  return rules;
}

function nodePortRules(port: number, work: Work): SharedRule[] {
  const start = `${comment(work.name)} ${work.protocol}`;
  const end = `-j ${work.chains.external}`;
  const at = { table: "nat", chain: chains.nodePorts } as const;
  const rule = { ...at, rule: `${start} --dport ${port} ${end}` };
  const { machine, localhostNodePorts } = work.context;
  if (!localhostNodePorts || !machine.counters.has("localhost_nps_accepted_pkts")) return [rule];
  const counter = "-m nfacct --nfacct-name localhost_nps_accepted_pkts";
  return [{ ...at, rule: `${start} -d 127.0.0.0/8 --dport ${port} ${counter} ${end}` }, rule];
}

function refusal(outcome: Outcome, match: string, work: Work): string {
  const [why, target] = outcome.kind === "drop" ? ["no local endpoints", "DROP"] : ["no endpoints", "REJECT"];
  return `${comment(`${work.name} has ${why}`)} ${match} -j ${target}`;
}

/**
 * The external chain. All external front ends of a service port share it, for they have the same outcomes: either
 * everyone is balanced over the cluster, masqueraded, or pods and this node are and others stay on this node.
 */
function externalChain(frontEnd: External, work: Work): string[] {
  const { pod, node, other } = frontEnd.outcomes;
  const { name, context } = work;
  const rules: string[] = [];
  if (other.kind === "balance" && other.masquerade) {
    rules.push(`${comment(`masquerade traffic for ${name} external destinations`)} -j ${chains.markMasq}`);
  } else {
    if (context.pods !== undefined && pod.kind === "balance") {
      const match = `${comment(`pod traffic for ${name} external destinations`)} ${context.pods.are}`;
      rules.push(`${match} -j ${work.chains[pod.pool]}`);
    }
    if (node.kind === "balance") {
      const local = "-m addrtype --src-type LOCAL";
      if (node.masquerade) {
        const match = `${comment(`masquerade LOCAL traffic for ${name} external destinations`)} ${local}`;
        rules.push(`${match} -j ${chains.markMasq}`);
      }
      const match = `${comment(`route LOCAL traffic for ${name} external destinations`)} ${local}`;
      rules.push(`${match} -j ${work.chains[node.pool]}`);
    }
  }
  if (other.kind === "balance") rules.push(`-j ${work.chains[other.pool]}`);
  return rules;
}

function firewallChain(sources: ReadonlySet<string>, work: Work): string[] {
  const start = comment(`${work.name} loadbalancer IP`);
  const rules = [...sources].map((source) => `${start} -s ${source} -j ${work.chains.external}`);
  return [...rules, comment(`other traffic to ${work.name} will be dropped by ${chains.proxyFirewall}`)];
}

/** First the clients that have an endpoint already, then all others at random: of n endpoints the first gets 1/n, … */
function balanceRules(endpoints: readonly Endpoint[], work: Work): string[] {
  const { decision, comments, name } = work;
  const targets = endpoints.map((endpoint) => ({
    chain: endpointChain(decision.service, endpoint),
    start: comments ? `${comment(`${name} -> ${target(endpoint)}`)} ` : "",
  }));
  const rules: string[] = [];
  if (decision.affinitySeconds > 0) {
    for (const { chain, start } of targets) {
      const recent = `-m recent --name ${chain} --rcheck --seconds ${decision.affinitySeconds} --reap`;
      rules.push(`${start}${recent} -j ${chain}`);
    }
  }
  for (const [i, { chain, start }] of targets.entries()) {
    const left = targets.length - i;
    const chance = left > 1 ? `-m statistic --mode random --probability ${(1 / left).toFixed(10)} ` : "";
    rules.push(`${start}${chance}-j ${chain}`);
  }
  return rules;
}

function endpointRules(endpoint: Endpoint, work: Work): string[] {
  const { decision, protocol } = work;
  const start = work.comments ? `${comment(work.name)} ` : "";
  const remember =
    decision.affinitySeconds > 0 ? `-m recent --name ${endpointChain(decision.service, endpoint)} --set ` : "";
  return [
    `${start}-s ${endpoint.address} -j ${chains.markMasq}`,
    `${start}${remember}${protocol} -j DNAT --to-destination ${target(endpoint)}`,
  ];
}

/** What matches the packets of a front end. */
function destination(frontEnd: FrontEnd, work: Work): string {
  return frontEnd.kind === "NodePort"
    ? `-m addrtype --dst-type LOCAL ${work.protocol} --dport ${frontEnd.port}`
    : `${work.protocol} -d ${frontEnd.address} --dport ${frontEnd.port}`;
}

/** The front ends apart from the cluster IP, external IPs first. */
function externalFrontEnds(frontEnds: readonly FrontEnd[]): External[] {
  const external = frontEnds.filter((frontEnd) => frontEnd.kind !== "ClusterIP");
  const order = { ExternalIP: 0, LoadBalancerIP: 1, NodePort: 2 };
  return external.length < 2 ? external : external.sort((a, b) => order[a.kind] - order[b.kind]);
}

function sourcesOf(frontEnd: External): readonly string[] | undefined {
  return frontEnd.kind === "LoadBalancerIP" ? frontEnd.sources : undefined;
}

/** Whether any client gets through to an endpoint. */
function balances(frontEnd: FrontEnd, work: Work): boolean {
  return poolsOf(frontEnd, work).length > 0;
}

/** The pools that a front end leads to. Nobody is a pod where pods cannot be told from others. */
function poolsOf(frontEnd: FrontEnd, { context }: Work): Pool[] {
  const { pod, node, other } = frontEnd.outcomes;
  const outcomes = context.pods === undefined ? [node, other] : [pod, node, other];
  return outcomes.flatMap((outcome) => (outcome.kind === "balance" ? [outcome.pool] : []));
}

function target({ address, port }: Endpoint): string {
  return formatHostPort(address, port);
}

/** Quotes like kube-proxy: only where there is a blank. */
function comment(text: string): string {
  return `-m comment --comment ${text.includes(" ") ? `"${text}"` : text}`;
}

/** `portolan check`: finds what is wrong with the Services of a node. */
import { setTimeout as sleep } from "node:timers/promises";
import { findFaults } from "../check/check.ts";
import { checks } from "../check/checks/index.ts";
import { Facts } from "../check/facts.ts";
import { explanationOf, type Finding, isFault, some } from "../check/finding.ts";
import { lookInside } from "../check/gather.ts";
import { formatFinding, formatReport, formatSummary, type Style } from "../check/report.ts";
import { lookAtRunning, type TrackerCount } from "../check/running.ts";
import { readWorkloads, type Workload } from "../check/workloads.ts";
import { durationFlag, parseFlags, stringFlag, stringsFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { KubeClient } from "../kube/client.ts";
import { findCluster, KubeconfigError } from "../kube/kubeconfig.ts";
import { runningLab } from "../lab/operations.ts";
import { namespaceNames } from "../lab/plan/names.ts";
import { labClient } from "../lab/pods.ts";
import { enterWorld } from "../lab/world.ts";
import { errorText } from "../telemetry/log.ts";
import { capture, readSnapshotFile } from "../trace/snapshot/index.ts";
import type { ClusterObjects } from "../trace/snapshot/objects.ts";
import { readObjects } from "../trace/snapshot/readobjects.ts";
import { type Command, type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { choiceProblems, lookInto } from "./snapshots.ts";

const flags = {
  namespace: stringFlag(
    "",
    { help: "A named network namespace (ip netns) to look into, instead of this one." },
    "name",
  ),
  lab: stringFlag("", { help: "A lab that runs (portolan lab): each of its nodes." }, "name"),
  snapshot: stringsFlag([], {
    help: "Files of `portolan snapshot` to look at, instead of this machine: one, or one for each node, which are compared then.",
  }),
  kubeconfig: stringFlag(
    "",
    {
      help: "The cluster whose Services, EndpointSlices, Pods and Nodes are compared with the node. Without it: that of KUBECONFIG or ~/.kube/config, or this pod's, if there is one; none for snapshots and namespaces.",
    },
    "file",
  ),
  output: stringFlag("text", { help: "text or json.", shorthand: "o" }, "format"),
  watch: switchFlag(false, { help: "Go on looking, and print what changes.", shorthand: "w" }),
  interval: durationFlag(5000, { help: "How often to look with --watch." }),
  list: switchFlag(false, { help: "List the checks and end." }),
  help: switchFlag(false, { help: "Explain the command." }),
};

type Values = ReturnType<typeof parseFlags<typeof flags>>["values"];

/** The status for what {@link check} found. */
const foundStatus = 3;
const withoutCluster = "Services, pods and nodes are not looked at: name a cluster with --kubeconfig\n";
const withoutNames =
  "Names are replaced in this snapshot: what the names of chains and sets would tell is not looked at\n";
/** Milliseconds that the API server may take. */
const patience = 20_000;

/** The command. */
export const check: Command = {
  name: "check",
  summary: "Find what is wrong with Services on this node, and say what to do",
  description:
    "Looks at this node's links, routes, settings, rules, connections and sockets, whoever made them, and at the objects of its cluster, and names faults that real clusters have. It changes nothing. Needs root, but for namespaces of your own lab. Each check is explained in docs/check.md.",
  usage: "[flags]",
  examples: [
    { line: "portolan check", what: "look at this node" },
    { line: "portolan check --watch", what: "go on looking while you repair" },
    { line: "portolan check --snapshot node1.json.gz -o json", what: "look at what somebody sent" },
    { line: "portolan check --lab lab", what: "look at all nodes of a lab" },
  ],
  flags,
  statuses: {
    [exitStatus.ok]: "nothing found, or notes alone",
    [exitStatus.failure]: "failure, or nothing found but the cluster's objects could not be read",
    [foundStatus]: "something was found, errors or warnings",
  },
  async run(args, context) {
    const { values, rest } = parseFlags(flags, args);
    const wrong = (problem: string) => new InvalidInputError(commandLine, [problem]);
    if (rest.length > 0) throw wrong(`unexpected argument ${JSON.stringify(rest[0])}`);
    if (values.help) {
      context.out(commandHelp(check));
      return exitStatus.ok;
    }
    if (values.list) {
      context.out(checks.map(({ name, about }) => `${name}\n    ${about}\n`).join(""));
      return exitStatus.ok;
    }
    if (!["text", "json"].includes(values.output)) throw wrong(`-o ${values.output}: must be text or json`);
    const [problem] = choiceProblems({ ...values, alone: false });
    if (problem !== undefined) throw wrong(problem);
    if (values.snapshot.length > 0 && values.watch) throw wrong("--watch needs a node: a snapshot does not change");
    if (values.lab !== "" && values.watch)
      throw wrong(`--watch needs one node, such as --namespace ${namespaceNames(values.lab).node("node1")}`);
    if (values.interval < 100) throw wrong("--interval must be 100ms or more");
    if (values.lab !== "") return ofLab(values, context);
    if (values.namespace !== "") lookInto(values.namespace);
    const client = clientOf(values, context);
    try {
      return values.watch ? await watch(values, client, context) : await once(values, client, context);
    } finally {
      await client?.destroy();
    }
  },
};

/** Looks at each node. */
async function ofLab(values: Values, context: CommandContext): Promise<number> {
  enterWorld(values.lab, false);
  const folder = runningLab(values.lab);
  const names = namespaceNames(values.lab);
  const client = labClient(folder);
  let status: number = exitStatus.ok;
  try {
    for (const { name } of folder.read()?.spec.nodes ?? [])
      status = Math.max(status, await once({ ...values, namespace: names.node(name) }, client, context));
  } finally {
    await client.destroy();
  }
  return status;
}

async function once(values: Values, client: KubeClient | undefined, context: CommandContext): Promise<number> {
  if (values.snapshot.length > 0) return ofFiles(values, client, context);
  const first = await gather(values, client, context);
  const suspected = findFaults(first.facts);
  // What was on its way while we looked is no fault: rules follow objects, only later.
  const last = suspected.length > 0 ? await gather(values, client, context, first.count) : first;
  const findings = last === first ? suspected : lasting(suspected, findFaults(last.facts));
  const unread = [...new Set([first, last].flatMap(({ problem }) => problem ?? []))];
  for (const each of unread) context.err(`${unreadable(each)}\n`);
  const { cluster, node } = last.facts;
  if (cluster !== undefined && node === undefined) context.err(`${noNode(cluster)}\n`);
  tell(last.facts, findings, values, context, unread);
  if (findings.some(isFault)) return foundStatus;
  return unread.length > 0 ? exitStatus.failure : exitStatus.ok;
}

function noNode({ nodes }: ClusterObjects): string {
  const names = nodes.map(({ name, addresses }) => `${name} (${addresses.join(", ")})`);
  return `This machine has an address of none of the cluster's nodes, ${some(names)}: is it the right machine, and the right cluster?`;
}

function unreadable(problem: string): string {
  return `The cluster's objects cannot be read, and nothing is said of Services, pods and nodes: ${problem}`;
}

/** Looks at each file, and at what the others say of other nodes. */
async function ofFiles(values: Values, client: KubeClient | undefined, context: CommandContext): Promise<number> {
  const snapshots = values.snapshot.map(readSnapshotFile);
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(patience)]);
  const cluster = client && (await readObjects(client, signal));
  let isHealthy = true;
  for (const snapshot of snapshots) {
    for (const each of snapshot.missing) context.err(`not looked at: ${each}\n`);
    const facts = new Facts(snapshot, {
      ...(cluster && { cluster }),
      others: snapshots.filter((each) => each !== snapshot),
    });
    if (facts.cluster === undefined) context.err(withoutCluster);
    if (snapshot.anonymised) context.err(withoutNames);
    const findings = findFaults(facts);
    tell(facts, findings, values, context);
    isHealthy &&= !findings.some(isFault);
  }
  return isHealthy ? exitStatus.ok : foundStatus;
}

function tell(
  facts: Facts,
  findings: readonly Finding[],
  { output }: Values,
  { out }: CommandContext,
  unread: readonly string[] = [],
): void {
  if (output === "json") out(`${JSON.stringify(asJson(facts, findings, unread), undefined, 2)}\n`);
  else out(formatReport(facts.snapshot.name, findings, styleOf()));
}

/** Those that were found before, too. */
function lasting(before: readonly Finding[], now: readonly Finding[]): readonly Finding[] {
  const known = new Set(before.map(keyOf));
  return now.filter((each) => known.has(keyOf(each)));
}

function keyOf({ check: name, subject }: Finding): string {
  return `${name} ${subject}`;
}

/** Prints what is new and what is gone, until somebody ends it. */
async function watch(values: Values, client: KubeClient | undefined, context: CommandContext): Promise<number> {
  const style = styleOf();
  let before: ReadonlyMap<string, Finding> | undefined;
  let suspected: readonly Finding[] | undefined;
  let count: TrackerCount | undefined;
  let hadObjects = false;
  while (!context.signal.aborted) {
    const looked = await gather(values, client, context, count).catch((error: unknown) => {
      if (before === undefined && !context.signal.aborted) throw error;
      return errorText(error);
    });
    if (typeof looked === "string") {
      // What cannot be read this time is no reason to end.
      if (!context.signal.aborted) context.err(`${looked}\n`);
      await pause(values.interval, context.signal);
      continue;
    }
    const { facts, problem } = looked;
    count = looked.count;
    if (problem !== undefined && !context.signal.aborted) context.err(`${unreadable(problem)}\n`);
    // What needs objects has not gone because they cannot be read for a while.
    if (problem !== undefined && hadObjects) {
      await pause(values.interval, context.signal);
      continue;
    }
    hadObjects ||= facts.cluster !== undefined;
    const all = findFaults(facts);
    const findings = suspected === undefined ? [] : lasting(suspected, all);
    const isFirst = suspected === undefined;
    suspected = all;
    if (isFirst && all.length > 0) continue;
    const now = new Map(findings.map((each) => [keyOf(each), each]));
    const came = [...now].filter(([key]) => !before?.has(key)).map(([, each]) => each);
    const went = [...(before ?? [])].filter(([key]) => !now.has(key)).map(([, each]) => each);
    const time = facts.snapshot.time;
    if (values.output === "json") {
      for (const each of came) context.out(`${JSON.stringify({ time, change: "found", ...entry(each) })}\n`);
      for (const each of went) context.out(`${JSON.stringify({ time, change: "gone", ...entry(each) })}\n`);
    } else if (before === undefined || came.length + went.length > 0) {
      for (const each of went) context.out(`GONE ${each.subject} (${each.check})\n\n`);
      for (const each of came) context.out(`${formatFinding(each, style)}\n`);
      context.out(`${time} ${formatSummary(facts.snapshot.name, findings, style)}\n\n`);
    }
    before = now;
    await pause(values.interval, context.signal);
  }
  return [...(before?.values() ?? [])].some(isFault) ? foundStatus : exitStatus.ok;
}

/** Waits, or less if somebody ends it. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {});
}

/** What one look saw, and the count of the connection tracker at its end for the next look. */
interface Look {
  readonly facts: Facts;
  readonly count: TrackerCount | undefined;
  /** Why the objects of a cluster that there is could not be read. */
  readonly problem?: string;
}

async function gather(
  values: Values,
  client: KubeClient | undefined,
  context: CommandContext,
  count?: TrackerCount,
): Promise<Look> {
  // Objects first: rules follow them, not the other way round.
  const objects = client && (await objectsOf(client, context.signal));
  const namespace = values.namespace === "" ? undefined : values.namespace;
  const snapshot = await capture(namespace);
  // Said once, however often we look.
  if (count === undefined) for (const each of snapshot.missing) context.err(`not looked at: ${each}\n`);
  const insides = lookInside(snapshot, namespace);
  const running = await lookAtRunning(count, namespace, context.signal);
  return {
    facts: new Facts(snapshot, { ...(typeof objects === "object" && objects), insides, running }),
    count: running.tracker?.after,
    ...(typeof objects === "string" && { problem: objects }),
  };
}

interface Objects {
  readonly cluster: ClusterObjects;
  readonly workloads: readonly Workload[];
}

/** The objects, or why they cannot be read: a node whose API server is away is worth a look all the more. */
async function objectsOf(client: KubeClient, ended: AbortSignal): Promise<Objects | string> {
  const timeout = AbortSignal.timeout(patience);
  try {
    const signal = AbortSignal.any([ended, timeout]);
    const [cluster, workloads] = await Promise.all([readObjects(client, signal), readWorkloads(client, signal)]);
    return { cluster, workloads };
  } catch (error) {
    if (ended.aborted) throw error;
    return timeout.aborted ? `no answer within ${patience / 1000} s` : errorText(error);
  }
}

/** The cluster to ask: the one that is named, or the one that is at hand for the machine itself. */
function clientOf({ kubeconfig, snapshot, namespace }: Values, { err }: CommandContext): KubeClient | undefined {
  if (kubeconfig !== "") return new KubeClient(findCluster({ kubeconfig }));
  // Files may have objects in them.
  if (snapshot.length > 0) return undefined;
  if (namespace === "") {
    try {
      return new KubeClient(findCluster({}));
    } catch (error) {
      if (!(error instanceof KubeconfigError)) throw error;
      err(`${errorText(error)}\n`);
    }
  }
  err(withoutCluster);
  return undefined;
}

function asJson(
  { snapshot, cluster, insides, proxies }: Facts,
  findings: readonly Finding[],
  unread: readonly string[],
) {
  const missing = [...snapshot.missing, ...unread.map((problem) => `objects of the cluster: ${problem}`)];
  return {
    schemaVersion: 1,
    node: snapshot.name,
    time: snapshot.time,
    proxies: proxies.map(({ title }) => title),
    lookedAt: { objects: cluster !== undefined, podNamespaces: insides.length, missing },
    findings: findings.map(entry),
  };
}

function entry(finding: Finding) {
  return { ...finding, seen: checks.find(({ name }) => name === finding.check)?.seen, docs: explanationOf(finding) };
}

function styleOf(): Style {
  const { isTTY, columns } = process.stdout;
  return { colour: isTTY === true && !process.env.NO_COLOR, width: isTTY && columns ? Math.min(columns, 120) : 100 };
}

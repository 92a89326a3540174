/** Where the commands that look at snapshots get them from: files, a lab, or this machine as it is now. */
import { stringFlag, stringsFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { listNamespaces } from "../kernel/namespace.ts";
import { KubeClient } from "../kube/client.ts";
import { findCluster, KubeconfigError } from "../kube/kubeconfig.ts";
import { labNameProblem } from "../lab/plan/spec.ts";
import { captureLab } from "../lab/snapshot.ts";
import { enterWorld, enterWorldWith } from "../lab/world.ts";
import { errorText } from "../telemetry/log.ts";
import { capture, captureSurroundings, readSnapshotFile, type Snapshot } from "../trace/snapshot/index.ts";
import { readObjects } from "../trace/snapshot/readobjects.ts";
import type { CommandContext } from "./command.ts";

/** The flags that say what to look at. */
export const liveFlags = {
  namespace: stringFlag("", { help: "A named network namespace, instead of this machine's own." }, "name"),
  lab: stringFlag("", { help: "A lab that runs (portolan lab): all its nodes and pods." }, "name"),
  alone: switchFlag(false, { help: "This namespace alone, without the pods and whatever else its links lead to." }),
  kubeconfig: stringFlag(
    "",
    {
      help: "The cluster whose API knows the names of Services, Pods and Nodes. Without it: that of KUBECONFIG or ~/.kube/config, or this pod's, if there is one and the machine itself is looked at.",
    },
    "file",
  ),
};

/** The same, with files. */
export const snapshotFlags = {
  ...liveFlags,
  snapshot: stringsFlag([], {
    help: "Files of portolan snapshot, instead of this machine as it is now: one, or one for each node.",
  }),
};

/** Milliseconds that an API server may take. */
const patience = 20_000;

/** What those flags say. */
export interface LiveChoice {
  readonly namespace: string;
  readonly lab: string;
  readonly alone: boolean;
  readonly kubeconfig: string;
}

/** Problems of the choice, as sentences. */
export function choiceProblems({ namespace, lab, snapshot = [] }: LiveChoice & { snapshot?: readonly string[] }) {
  const chosen = [
    ["--snapshot", snapshot.length > 0],
    ["--namespace", namespace !== ""],
    ["--lab", lab !== ""],
  ].flatMap(([name, given]) => (given === true ? [String(name)] : []));
  const problem = lab === "" ? undefined : labNameProblem(lab);
  return [
    ...(chosen.length > 1 ? [`${chosen.join(" and ")}: only one of them`] : []),
    ...(problem === undefined ? [] : [`--lab: ${problem}`]),
  ];
}

/** Reads the files, or takes a snapshot. What could not be read is said on the error output. */
export async function takeSnapshots(
  choice: LiveChoice & { readonly snapshot: readonly string[] },
  context: CommandContext,
): Promise<readonly Snapshot[]> {
  const snapshots =
    choice.snapshot.length > 0 ? choice.snapshot.map(readSnapshotFile) : [await takeLive(choice, context)];
  for (const { missing, name } of snapshots) {
    for (const each of missing) context.err(`not in the snapshot of ${name}: ${each}\n`);
  }
  return snapshots;
}

/** Takes a snapshot of this machine, of a namespace, or of a lab. */
export async function takeLive(choice: LiveChoice, context: CommandContext): Promise<Snapshot> {
  const { namespace, lab, alone } = choice;
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(patience)]);
  if (lab !== "") {
    enterWorld(lab, false);
    return captureLab(lab, signal);
  }
  if (namespace !== "") lookInto(namespace);
  // Objects first: rules follow them, not the other way round.
  const objects = await objectsOf(choice, context, signal);
  const name = namespace === "" ? undefined : namespace;
  const taken = alone ? await capture(name) : await captureSurroundings(name);
  return { ...taken, ...(objects !== undefined && { objects }) };
}

/** The objects of the cluster that is named, or of the one at hand; a trace without names is better than none. */
async function objectsOf({ kubeconfig, namespace }: LiveChoice, { err }: CommandContext, signal: AbortSignal) {
  if (kubeconfig === "" && namespace !== "") return undefined;
  let client: KubeClient;
  try {
    client = new KubeClient(findCluster(kubeconfig === "" ? {} : { kubeconfig }));
  } catch (error) {
    if (kubeconfig === "" && error instanceof KubeconfigError) return undefined;
    throw error;
  }
  try {
    return await readObjects(client, signal);
  } catch (error) {
    if (kubeconfig !== "") throw error;
    err(`the cluster's API does not answer, so names are missing: ${errorText(error)}\n`);
    return undefined;
  } finally {
    await client.destroy();
  }
}

/** Has this program go on where a named namespace is. @throws an Error if there is none of that name. */
export function lookInto(namespace: string): void {
  enterWorldWith(namespace);
  if (!namespace.startsWith("/") && !listNamespaces().includes(namespace))
    throw new Error(
      `there is no network namespace ${JSON.stringify(namespace)}: "ip netns" lists those that there are`,
    );
}

/** Refuses wrong usage. */
export function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new InvalidInputError(commandLine, problems);
}

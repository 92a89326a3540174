/** What a fault is: something that goes wrong in real networks, done to a lab and undone again. */
import { inNamespace, listNamespaces } from "../../kernel/namespace.ts";
import { runInside } from "../../kernel/programs.ts";
import { readSysctl, writeSysctl } from "../../kernel/sysctl.ts";
import { ifThere, type KubeClient, resourcePath } from "../../kube/client.ts";
import { isFields, noFields } from "../../kube/objects/fields.ts";
import { services } from "../../kube/objects/service.ts";
import type { ControlRequest } from "../control.ts";
import type { NodeStatus } from "../lab.ts";
import { labCommand, namespaceNames } from "../plan/names.ts";
import type { LabSpec, NodeSpec } from "../plan/spec.ts";

/**
 * A fault. What {@link break} returns is kept on disk, as JSON, until {@link repair} gets it. Somebody may have repaired
 * it by hand before: that is no error.
 */
export interface Fault {
  /** What it is called on the command line. */
  readonly name: string;
  /** What is done, in a sentence. */
  readonly deed: string;
  /** What somebody would see who does not know. */
  readonly symptom: string;
  /** Why that follows, and how one finds out. */
  readonly explanation: string;
  /** How it is undone. */
  readonly remedy: string;
  /** True for faults of objects, which the API keeps while the lab is down; all else ends with the lab. */
  readonly lasting?: boolean;
  break(stage: FaultStage): Promise<unknown> | unknown;
  repair(stage: FaultStage, memory: unknown): Promise<void> | void;
}

/** A running lab, as faults see it. */
export interface FaultStage {
  readonly spec: LabSpec;
  /** Those that run; for a repair those that ran when it was broken, and are still known. */
  readonly nodes: readonly NodeStatus[];
  readonly client: KubeClient;
  readonly signal: AbortSignal;
  /** The Service that faults of objects are about. */
  readonly service: { readonly namespace: string; readonly name: string };
  ask(request: ControlRequest): Promise<unknown>;
}

/** The nth node of a stage, from 0. @throws an Error if there are not so many. */
export function nodeAt({ nodes, spec }: FaultStage, index: number): NodeStatus & { readonly spec: NodeSpec } {
  const node = nodes[index];
  const plan = spec.nodes.find(({ name }) => name === node?.name);
  if (node === undefined || plan === undefined)
    throw new Error(`this fault needs ${index + 1} nodes that run: ${labCommand(spec.name, "node add")}`);
  return { ...node, spec: plan };
}

/** The namespaces of a stage's lab. */
export function namesOf({ spec }: FaultStage) {
  return namespaceNames(spec.name);
}

/** Runs a program in a namespace. @returns its output. @throws an Error with what it says if it fails. */
export function must(namespace: string, ...argv: readonly string[]): string {
  const { status, output, errors } = runInside(namespace, argv);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${errors.trim() || `status ${status}`}`);
  return output;
}

/** Values of sysctls as they were, by namespace and name. */
export type SysctlMemory = readonly { readonly namespace: string; readonly name: string; readonly value: string }[];

/** Sets sysctls in namespaces. @returns what they were. @throws an Error if this kernel does not have one. */
export function setSysctls(namespaces: readonly string[], values: Readonly<Record<string, string>>): SysctlMemory {
  return namespaces.flatMap((namespace) =>
    inNamespace(namespace, () =>
      Object.entries(values).map(([name, value]) => {
        const before = readSysctl(name);
        if (before === undefined) throw new Error(`this kernel has no sysctl ${name.replaceAll("/", ".")}`);
        writeSysctl(name, value);
        return { namespace, name, value: before };
      }),
    ),
  );
}

/** Sets sysctls back to what they were, where the namespaces are there. */
export function restoreSysctls(memory: unknown): void {
  const existing = new Set(listNamespaces());
  for (const { namespace, name, value } of memory as SysctlMemory) {
    if (!existing.has(namespace)) continue;
    inNamespace(namespace, () => {
      writeSysctl(name, value);
    });
  }
}

/** The raw spec of the stage's Service. @throws an Error that says how to make one if there is none. */
export async function serviceSpec({ client, service, signal }: FaultStage): Promise<Readonly<Record<string, unknown>>> {
  const raw = await ifThere(client.send({ path: resourcePath(services, service) }, signal));
  if (raw === undefined) {
    throw new Error(
      `there is no Service ${service.namespace}/${service.name}: name another with --service, or make the example's with portolan lab apply -f examples/lab/hello.yaml`,
    );
  }
  return isFields(raw) && isFields(raw.spec) ? raw.spec : noFields;
}

/** Changes the spec of the stage's Service, if it is there. */
export async function patchService({ client, service, signal }: FaultStage, spec: object): Promise<void> {
  const contentType = "application/merge-patch+json";
  await ifThere(
    client.send({ method: "PATCH", path: resourcePath(services, service), contentType, body: { spec } }, signal),
  );
}

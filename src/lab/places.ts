/** The places of a lab that a program can be run in: nodes, pods, the outside. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { listNamespaces } from "../kernel/namespace.ts";
import { type Disguise, spawnInside } from "../kernel/programs.ts";
import { labCommand, namespaceNames } from "./plan/names.ts";
import type { LabFolder } from "./state.ts";

/** A place. */
export interface Place {
  /** As people call it. */
  readonly title: string;
  readonly namespace: string;
  readonly disguise: Disguise;
  /** The folder of a pod's logs; absent for others. */
  readonly folder?: string;
}

/**
 * The place that is called so: `outside`, a node, a pod, or the beginning of a pod's name up to a dash.
 *
 * @param podNamespace the namespace of pods.
 * @throws an Error that lists what there is.
 */
export function findPlace(folder: LabFolder, lab: string, called: string, podNamespace: string): Place {
  const names = namespaceNames(lab);
  const existing = listNamespaces().filter(names.owns);
  const plain = { outside: names.outside, wire: names.wire }[called] ?? names.node(called);
  if (existing.includes(plain)) return { title: called, namespace: plain, disguise: { hostname: called, files: {} } };
  const [name, namespace = podNamespace] = called.split("/").reverse() as [string, string?];
  const prefix = names.pod(namespace, "");
  const pods = existing.filter((found) => found.startsWith(prefix)).map((found) => found.slice(prefix.length));
  const pod = pods.find((found) => found === name) ?? pods.find((found) => found.startsWith(`${name}-`));
  if (pod === undefined) {
    const nodes = folder.read()?.spec.nodes ?? [];
    if (nodes.some((node) => node.name === called && node.stopped))
      throw new Error(`${called} is switched off: ${labCommand(lab, `node start ${called}`)} first`);
    const running = nodes.filter(({ stopped }) => stopped !== true).map((node) => node.name);
    const found = ["outside", ...running, ...pods.slice(0, 20)].join(", ");
    throw new Error(`there is no ${JSON.stringify(called)} in lab ${lab} (namespace ${namespace}): there are ${found}`);
  }
  const own = join(folder.pods, `${namespace}.${pod}`);
  const files = ["hosts", "resolv.conf"].filter((file) => existsSync(join(own, file)));
  return {
    title: `${namespace}/${pod}`,
    namespace: names.pod(namespace, pod),
    disguise: { hostname: pod, files: Object.fromEntries(files.map((file) => [`/etc/${file}`, join(own, file)])) },
    folder: own,
  };
}

/** Runs a program in a place, on this terminal. @returns its exit status. */
export function runAt(place: Place, argv: readonly string[]): Promise<number> {
  return ended(spawnInside(place.namespace, argv, { stdio: "inherit", env: programEnvironment() }, place.disguise));
}

/** Runs the machine's kubectl on a lab, on this terminal. @returns its exit status. */
export function runKubectl(folder: LabFolder, args: readonly string[]): Promise<number> {
  const env = { ...process.env, KUBECONFIG: folder.kubeconfig };
  return ended(spawn("kubectl", args, { stdio: "inherit", env }));
}

/** What programs have in their environment: they find the lab by address, and a proxy of this machine's environment would lead elsewhere. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(https?|all|no)_proxy$/i.test(name)));
}

function ended(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) => {
      const missing = error.code === "ENOENT";
      reject(missing ? new Error(`${child.spawnfile} is not on this machine: install it, or put it into PATH`) : error);
    });
    child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

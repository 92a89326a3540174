/** `portolan lab status` and `logs`. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { stringFlag, switchFlag } from "../../config/flags.ts";
import { readGrowing } from "../../lab/follow.ts";
import { runningLab, statusOf } from "../../lab/operations.ts";
import { findPlace } from "../../lab/places.ts";
import { labCommand } from "../../lab/plan/names.ts";
import { readLog } from "../../lab/pods/log.ts";
import { podsOf } from "../../lab/pods.ts";
import { LabFolder } from "../../lab/state.ts";
import { exitStatus } from "../command.ts";
import { labNameOf, labPart, refuseArguments, table, wrongUsage } from "./part.ts";

/** `lab status`. */
export const status = labPart({
  name: "status",
  usage: "[-o json]",
  summary: "Show nodes and pods",
  examples: [
    { line: "portolan lab status", what: "nodes with the modes of their proxies, and pods" },
    { line: "portolan lab status -o json", what: "for programs: phase, nodes, pods, kubeconfig" },
  ],
  statuses: { 1: "failure, or (with -o table) the lab is down" },
  flags: { output: stringFlag("table", { shorthand: "o", help: "table or json." }, "format") },
  async run({ values, args, context: { out, err, signal } }) {
    refuseArguments(args);
    if (values.output !== "table" && values.output !== "json") throw wrongUsage("--output must be table or json");
    const name = labNameOf(values);
    const folder = new LabFolder(name);
    const lab = await statusOf(name, signal);
    const pods = lab?.phase === "ready" ? await podsOf(folder, signal) : [];
    if (values.output === "json") {
      const { kubeconfig } = folder;
      const facts = lab === undefined ? { phase: "down", nodes: [] } : { ...lab, kubeconfig };
      out(`${JSON.stringify({ name, ...facts, pods }, undefined, 2)}\n`);
      return exitStatus.ok;
    }
    if (lab === undefined) {
      const crash = `, by a crash: ${labCommand(name, "up")} brings it back, ${labCommand(name, "down")} clears up`;
      err(`Lab ${name} is down${folder.crashed ? crash : ""}\n`);
      return exitStatus.failure;
    }
    const nodes = lab.nodes.map((node) => [
      node.name,
      node.state,
      node.mode || "-",
      node.zone || "-",
      node.addresses.join(","),
      node.podCIDRs.join(","),
      node.namespace,
    ]);
    out(`Lab ${name}: ${lab.phase}${lab.message === "" ? "" : ` (${lab.message})`}\n\n`);
    out(table([["NODE", "STATE", "PROXY", "ZONE", "ADDRESS", "PODS", "NAMESPACE"], ...nodes]));
    if (pods.length > 0) {
      const rows = pods.map((pod) => [
        `${pod.namespace}/${pod.name}`,
        pod.state,
        pod.node || "-",
        pod.addresses.join(",") || "-",
      ]);
      out(`\n${table([["POD", "STATE", "NODE", "ADDRESS"], ...rows])}`);
    }
    return exitStatus.ok;
  },
});

/** `lab logs`. */
export const logs = labPart({
  name: "logs",
  world: "enters",
  usage: "[POD|NODE] [-c CONTAINER] [-n NAMESPACE] [-f]",
  summary: "Show the log of a pod, of a node's proxy, or of the lab itself",
  examples: [
    { line: "portolan lab logs hello", what: "the first pod whose name begins so" },
    { line: "portolan lab logs node1 -f", what: "what the proxy of node1 says, and goes on saying" },
    { line: "portolan lab logs", what: "the program that keeps the lab running" },
  ],
  flags: {
    namespace: stringFlag("default", { shorthand: "n", help: "Namespace of the pod." }),
    container: stringFlag("", { shorthand: "c", help: "Container of the pod; its first if none is named." }),
    follow: switchFlag(false, { shorthand: "f", help: "Go on as it grows." }),
  },
  async run({ values, args: [called, ...more], context }) {
    if (more.length > 0) throw wrongUsage(`unexpected argument ${JSON.stringify(more[0])}`);
    const name = labNameOf(values);
    const { file, stamped } =
      called === undefined ? { file: new LabFolder(name).log, stamped: false } : logOf(name, called, values);
    if (!existsSync(file)) throw new Error(`there is no log ${file}`);
    const texts = readGrowing(file, values.follow, context.signal);
    for await (const text of stamped ? readLog(texts, {}) : texts) context.out(text);
    return exitStatus.ok;
  },
});

/** Where a log is, and whether its lines have times that are not shown. */
function logOf(
  name: string,
  called: string,
  wanted: { readonly namespace: string; readonly container: string },
): { readonly file: string; readonly stamped: boolean } {
  const folder = runningLab(name);
  // That of a node is there when the node is switched off, too.
  if (folder.read()?.spec.nodes.some((node) => node.name === called))
    return { file: join(folder.node(called), "proxy.log"), stamped: false };
  const place = findPlace(folder, name, called, wanted.namespace);
  if (place.folder === undefined) throw wrongUsage(`${called} has no log: name a pod, a node, or nothing`);
  const containers = readdirSync(place.folder)
    .filter((file) => file.endsWith(".log"))
    .map((file) => file.slice(0, -4));
  const container = wanted.container === "" ? containers[0] : wanted.container;
  if (container === undefined || !containers.includes(container)) {
    throw new Error(
      `pod ${place.title} has no log of container ${container ?? ""}: there are ${containers.join(", ")}`,
    );
  }
  return { file: join(place.folder, `${container}.log`), stamped: true };
}

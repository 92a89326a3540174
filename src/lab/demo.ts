/** The demo: a lab with three pods behind three Services, and a screen that says what to try. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { styleText } from "node:util";
import { resourcePath } from "../kube/client.ts";
import { isFields } from "../kube/objects/fields.ts";
import { services } from "../kube/objects/service.ts";
import { type Address, parseAddress } from "../net/address.ts";
import { systemClock } from "../telemetry/clock.ts";
import { errorText } from "../telemetry/log.ts";
import { applyManifest } from "./apply.ts";
import { getInside } from "./network/http.ts";
import { down, type PartialWishes, reset, type UpResult, up } from "./operations.ts";
import { findPlace } from "./places.ts";
import { labCommand, usualLab } from "./plan/names.ts";
import { labClient, podsOf } from "./pods.ts";
import { LabFolder } from "./state.ts";

/** What the demo needs of whoever starts it. */
export interface DemoOptions {
  readonly wishes: PartialWishes;
  readonly out: (text: string) => void;
  readonly signal: AbortSignal;
}

const manifest = fileURLToPath(new URL("../../examples/lab/hello.yaml", import.meta.url));
const nodePort = 30_080;
/** Pods of the example. */
const replicas = 3;
/** Requests in a row of the table. */
const requests = 30;
/** Milliseconds that a request may take. */
const patience = 1000;
/** Milliseconds between two looks at who answers. */
const watchEvery = 500;
/** Milliseconds until the pods must be ready. */
const readyPatience = 20_000;

/**
 * Plays until the signal is aborted or the lab is taken down. A lab that it started, it ends; one that was new, it
 * forgets.
 *
 * @throws an Error that says what is missing, e.g. root.
 */
export async function runDemo({ wishes, out, signal }: DemoOptions): Promise<void> {
  const { name } = wishes;
  const folder = new LabFolder(name);
  const known = folder.read() !== undefined;
  const running = folder.supervisor() !== undefined;
  try {
    const began = performance.now();
    out(running ? `Lab ${name} runs already.\n` : "Starting a cluster of network namespaces on this machine:\n");
    const result = await up(wishes, (text) => out(`  ${text}\n`), signal);
    out("  three pods, three Services\n");
    const client = labClient(folder);
    let clusterIP: Address;
    try {
      await applyManifest(client, readFileSync(manifest, "utf8"), signal);
      const service = await client.send(
        { path: resourcePath(services, { namespace: "default", name: "hello" }) },
        signal,
      );
      const spec = isFields(service) && isFields(service.spec) ? service.spec : {};
      clusterIP = parseAddress(String(spec.clusterIP));
    } finally {
      await client.destroy();
    }
    const pods = await untilReady(folder, signal);
    const stage = makeStage(folder, name, clusterIP, result, pods[0] ?? "");
    await Promise.all([stage.pod, stage.node, stage.outside].map((each) => untilAllAnswer(each, signal)));
    out(`Ready after ${((performance.now() - began) / 1000).toFixed(1)} s.\n`);
    out(await table(stage, pods, signal));
    out(whatToTry(name, stage));
    await watch(stage.pod, folder, name, out, signal);
    if (!signal.aborted) out(`\nLab ${name} was taken down.\n`);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    if (running && folder.supervisor() !== undefined)
      out(`\nLab ${name} runs on, as before: ${labCommand(name, "down")} ends it.\n`);
    if (!running) {
      if (signal.aborted) out("\nTaking it down ... ");
      await (known ? down(name) : reset(name));
      if (signal.aborted) out("done, nothing is left behind.\n");
    }
  }
}

/** Somebody who asks something of somebody. */
interface Question {
  readonly who: string;
  readonly whom: string;
  readonly namespace: string;
  readonly address: Address;
  readonly port: number;
}

interface Stage {
  readonly pod: Question;
  readonly node: Question;
  readonly outside: Question;
}

function makeStage(folder: LabFolder, lab: string, clusterIP: Address, { status }: UpResult, pod: string): Stage {
  const place = (called: string) => findPlace(folder, lab, called, "default").namespace;
  const cluster = { whom: `cluster IP ${clusterIP}:80`, address: clusterIP, port: 80 };
  const [first, second = first] = status.nodes;
  const node = second?.addresses[0] ?? "";
  return {
    pod: { who: "a pod", namespace: place(pod), ...cluster },
    node: { who: first?.name ?? "", namespace: first?.namespace ?? "", ...cluster },
    outside: {
      who: "outside",
      whom: `node port ${node}:${nodePort}`,
      namespace: place("outside"),
      address: parseAddress(node),
      port: nodePort,
    },
  };
}

async function untilReady(folder: LabFolder, signal: AbortSignal): Promise<readonly string[]> {
  const end = systemClock.monotonic() + readyPatience;
  for (;;) {
    const pods = (await podsOf(folder, signal)).filter(({ name }) => name.startsWith("hello-"));
    // Those of an earlier time may still be ending.
    if (pods.length === replicas && pods.every(({ state }) => state === "Ready"))
      return pods.map(({ name }) => name).sort();
    signal.throwIfAborted();
    if (systemClock.monotonic() > end) throw new Error("the pods did not become ready: see portolan lab logs");
    await systemClock.sleep(watchEvery / 10, signal);
  }
}

/** Waits until the rules know all pods: they follow when those are ready. */
async function untilAllAnswer(question: Question, signal: AbortSignal): Promise<void> {
  const end = systemClock.monotonic() + readyPatience;
  while (!signal.aborted && systemClock.monotonic() < end) {
    const answers = await Promise.all(Array.from({ length: requests }, () => ask(question, signal)));
    if (new Set(answers.map(({ pod }) => pod)).size === replicas && answers.every(({ client }) => client !== ""))
      return;
    await systemClock.sleep(watchEvery / 10, signal);
  }
}

async function ask({ namespace, address, port }: Question, signal: AbortSignal) {
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
    const { text } = await getInside({ namespace, address, port, path: "/" }, limit);
    const { pod, client } = JSON.parse(text) as { readonly pod: string; readonly client: string };
    return { pod, client };
  } catch (error) {
    return { pod: `no answer (${errorText(error)})`, client: "" };
  }
}

/** Who answers whom, and which source address it sees. */
async function table({ pod, node, outside }: Stage, pods: readonly string[], signal: AbortSignal): Promise<string> {
  const head = ["from", "to", ...pods, "source address that the pods see"];
  const rows: string[][] = [];
  for (const question of [pod, node, outside]) {
    const answers = await Promise.all(Array.from({ length: requests }, () => ask(question, signal)));
    const counts = pods.map((name) => String(answers.filter((answer) => answer.pod === name).length));
    const sources = [...new Set(answers.map(({ client }) => client))].filter(Boolean).sort();
    rows.push([question.who, question.whom, ...counts, sources.join(", ")]);
  }
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd();
  return `\n${requests} requests each, and who answered them:\n\n${bold(line(head))}\n${rows.map(line).join("\n")}\n`;
}

function whatToTry(name: string, { outside }: Stage): string {
  const program = existsSync("portolan") ? "./portolan" : "portolan";
  const lab = `${program} lab`;
  const flag = name === usualLab ? "" : ` --name ${name}`;
  const steps: readonly (readonly [string, string])[] = [
    [`${lab} kubectl${flag} -- get pods,services,endpointslices -o wide`, "it is a cluster: kubectl works as anywhere"],
    [
      `${lab} exec${flag} outside -- curl -s http://${outside.address}:${outside.port}/`,
      "a client outside; the pod sees the node's address",
    ],
    [
      `${lab} exec${flag} hello -- curl -s http://hello/`,
      "a pod asks the Service that it is itself behind, by its name",
    ],
    [
      `${program} trace --lab ${name} outside ${outside.address}:${outside.port}`,
      "which way such a packet goes, and why",
    ],
    [`${lab} kubectl${flag} -- scale deployment hello --replicas=6`, "this screen shows the new pods, at once"],
    [`${lab} exec${flag} node1 -- nft list map ip portolan endpoints`, "the endpoints, as the kernel has them"],
    [`${lab} mode${flag} iptables`, "other rules in the kernel, and no connection breaks"],
    [`${lab} node${flag} stop node2`, "pull a plug; requests go to the pods that are left"],
    [`${lab} break${flag}`, "the faults that networks have in real life; quiz hides one from you"],
  ];
  const lines = steps.map(([command, what]) => `  ${what}\n    ${bold(command)}\n`);
  return `\nTry, in another terminal:\n\n${lines.join("")}\nCtrl-C, or ${lab} down${flag}, ends it and leaves nothing behind.\n\n`;
}

/** Shows who answers one of the pods, whichever there are, whenever that changes. */
async function watch(
  question: Question,
  folder: LabFolder,
  lab: string,
  out: DemoOptions["out"],
  signal: AbortSignal,
): Promise<void> {
  let [shown, before] = ["", ""];
  while (!signal.aborted && folder.supervisor() !== undefined) {
    const namespace = anyPod(folder, lab);
    const answers =
      namespace === undefined
        ? [{ pod: "nobody: it has no pods", client: "" }]
        : await Promise.all(Array.from({ length: requests }, () => ask({ ...question, namespace }, signal)));
    const now = [...new Set(answers.map((answer) => answer.pod))].sort().join(", ");
    if (signal.aborted || folder.supervisor() === undefined) return;
    // A failure that does not last is that of a pod, or of the lab, that is ending just now.
    const sure = now === before || answers.every(({ client }) => client !== "");
    if (now !== shown && sure) {
      out(`${new Date().toTimeString().slice(0, 8)}  Service hello is answered by ${now}\n`);
      shown = now;
    }
    before = now;
    await systemClock.sleep(watchEvery, signal);
  }
}

function anyPod(folder: LabFolder, lab: string): string | undefined {
  try {
    return findPlace(folder, lab, "hello", "default").namespace;
  } catch {
    return undefined;
  }
}

function bold(text: string): string {
  return styleText("bold", text, { stream: process.stdout });
}

/** The demo: a node with three pods, the service proxy on example manifests, requests to the Service. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { styleText } from "node:util";
import { inNamespace } from "../../kernel/namespace.ts";
import { type Answer, Client, startPod } from "./resident.ts";
import { buildTopology, type DemoTopology, demoAddresses, removeTopology } from "./topology.ts";

/** The pods of examples/hello. */
const pods = { "hello-1": "10.244.0.11", "hello-2": "10.244.0.12", "hello-3": "10.244.0.13" } as const;
const podPort = 8080;
const clusterUrl = "http://10.96.0.10/";
const nodePortUrl = `http://${demoAddresses.node}:30080/`;
/** Requests in a row of the table. */
const requests = 30;
/** Between two looks at who answers, in milliseconds. */
const watchEvery = 500;

const manifests = fileURLToPath(new URL("../../../examples/hello", import.meta.url));
const program = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** What the demo needs of whoever starts it. */
export interface DemoOptions {
  readonly out: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Plays until the signal is aborted, then removes all that it made.
 *
 * @throws an Error that says what is missing, e.g. root.
 */
export async function runDemo({ out, signal }: DemoOptions): Promise<void> {
  const ends: (() => Promise<void>)[] = [];
  let topology: DemoTopology | undefined;
  try {
    out("Building a node, three pods and a client outside, each a network namespace ...\n");
    topology = buildTopology(pods);
    for (const pod of topology.pods) ends.push(await startPod(pod.namespace, pod.name, podPort));
    out(`Starting the service proxy on ${relativeManifests()} ...\n`);
    const { agent, ended } = startAgent(topology);
    ends.push(() => stopAgent(agent, ended));
    const clients = {
      outside: new Client(topology.outside),
      node: new Client(topology.node),
      pod: new Client(topology.pods[0]?.namespace ?? ""),
    };
    ends.push(...Object.values(clients).map((client) => () => client.close()));
    await untilAnswered(clients.pod, ended, signal);
    out(await table(clients));
    out(whatToTry(topology));
    await watch(clients.pod, out, ended, signal);
  } finally {
    for (const end of ends.reverse()) await end();
    if (topology !== undefined) removeTopology(topology);
  }
}

function relativeManifests(): string {
  return "examples/hello";
}

/** The agent in the node's namespace; `ended` rejects if it ends by itself. */
function startAgent({ node }: DemoTopology): { readonly agent: ChildProcess; readonly ended: Promise<never> } {
  const flags = ["--manifests", manifests, "--hostname-override", "demo", "--cluster-cidr", "10.244.0.0/16"];
  const agent = inNamespace(node, () =>
    spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, "proxy", ...flags], {
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
  let log = "";
  agent.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-4000);
  });
  const ended = new Promise<never>((_, reject) => {
    agent.on("error", reject);
    agent.on("exit", (code) => reject(new Error(`the service proxy ended with status ${code}:\n${log}`)));
  });
  ended.catch(() => {});
  return { agent, ended };
}

async function stopAgent(agent: ChildProcess, ended: Promise<never>): Promise<void> {
  agent.kill("SIGTERM");
  await ended.catch(() => {});
}

async function untilAnswered(client: Client, ended: Promise<never>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answer = await Promise.race([client.request(clusterUrl), ended]);
    if (answer.kind === "answer") return;
    await pause(50, signal);
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => resolve(), { once: true });
  return promise.finally(() => clearTimeout(timer));
}

interface Clients {
  readonly outside: Client;
  readonly node: Client;
  readonly pod: Client;
}

/** Who answers whom, and which source address it sees. */
async function table({ outside, node, pod }: Clients): Promise<string> {
  const rows = [
    ["pod hello-1", "cluster IP 10.96.0.10:80", await ask(pod, clusterUrl)],
    ["the node", "cluster IP 10.96.0.10:80", await ask(node, clusterUrl)],
    ["outside", `node port ${demoAddresses.node}:30080`, await ask(outside, nodePortUrl)],
  ] as const;
  const names = Object.keys(pods);
  const head = ["from", "to", ...names, "the pods saw"];
  const lines = rows.map(([from, to, { counts, sources }]) => [
    from,
    to,
    ...names.map((name) => String(counts.get(name) ?? 0)),
    [...sources].sort().join(", "),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const format = (cells: readonly string[]) =>
    `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd();
  return `\n${requests} requests each:\n\n${bold(format(head))}\n${lines.map(format).join("\n")}\n`;
}

interface Tally {
  readonly counts: Map<string, number>;
  readonly sources: Set<string>;
}

async function ask(client: Client, url: string): Promise<Tally> {
  const counts = new Map<string, number>();
  const sources = new Set<string>();
  for (let i = 0; i < requests; i++) {
    const { pod, from } = parse(await client.request(url));
    counts.set(pod, (counts.get(pod) ?? 0) + 1);
    if (from !== "") sources.add(from);
  }
  return { counts, sources };
}

function parse(answer: Answer): { readonly pod: string; readonly from: string } {
  if (answer.kind === "failure") return { pod: answer.why, from: "" };
  return JSON.parse(answer.text) as { readonly pod: string; readonly from: string };
}

function whatToTry({ node, outside }: DemoTopology): string {
  const command = (text: string) => `    ${bold(text)}\n`;
  return (
    "\nTry, in another terminal:\n\n" +
    `  Edit ${relativeManifests()}/hello.yaml: remove an endpoint and save. This screen will show it.\n` +
    "  Ask yourself, from outside, whose packets are masqueraded:\n" +
    command(`ip netns exec ${outside} curl ${nodePortUrl}`) +
    "  See what is in the kernel:\n" +
    command(`ip netns exec ${node} nft list map ip portolan endpoints`) +
    "  Break it, and watch it being repaired:\n" +
    command(`ip netns exec ${node} nft flush table ip portolan`) +
    "\nCtrl-C ends the demo and leaves nothing behind.\n\n"
  );
}

/** Shows who answers, whenever that changes. */
async function watch(
  client: Client,
  out: DemoOptions["out"],
  ended: Promise<never>,
  signal: AbortSignal,
): Promise<void> {
  let shown = "";
  while (!signal.aborted) {
    const { counts } = await Promise.race([ask(client, clusterUrl), ended]);
    const now = [...counts.keys()].sort().join(", ");
    if (now !== shown && !signal.aborted)
      out(`${new Date().toTimeString().slice(0, 8)}  ${clusterUrl} is answered by ${now}\n`);
    shown = now;
    await pause(watchEvery, signal);
  }
}

function bold(text: string): string {
  return styleText("bold", text, { stream: process.stdout });
}

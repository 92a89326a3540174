/** Makes the wire of a lab worse than it is: packets come late, or not at all. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { inNamespace, listNamespaces } from "../../kernel/namespace.ts";
import {
  commandOf,
  type Outcome,
  processesInside,
  runInside,
  signalProcess,
  spawnInside,
} from "../../kernel/programs.ts";
import { listLinks, openRoute } from "../../kernel/route/index.ts";
import { type NamespaceNames, namespaceNames } from "../plan/names.ts";
import { plugIn, type Slowness, standsIn } from "./slow.ts";

/** How bad a wire is. */
export interface Impairment {
  /** Milliseconds that each packet takes longer, in each direction. */
  readonly delay: number;
  /** Milliseconds by which that may be more or less. */
  readonly jitter: number;
  /** Of a hundred packets, how many are lost. */
  readonly loss: number;
  /** Only to and from this machine of the wire; all, if absent. */
  readonly node?: string;
}

const table = "lab_loss";
/** Parts of the whole that loss is counted in. */
const whole = 10_000;
const slowProgram = fileURLToPath(new URL("./slow.ts", import.meta.url));
/** Milliseconds that the program which slows a wire has to end. */
const patience = 2_000;

/**
 * Makes the wire so bad, instead of how bad it was before; zeros make it whole.
 *
 * @throws an Error if there is no such node, or if this machine cannot do it.
 */
export async function impair(lab: string, { delay, jitter, loss, node }: Impairment): Promise<void> {
  const names = namespaceNames(lab);
  const { wire } = names;
  if (!listNamespaces().includes(wire)) throw new Error(`lab ${lab} has no wire: it does not run`);
  const ports = portsOf(wire);
  const chosen = node === undefined ? ports : ports.filter((port) => port === node);
  if (chosen.length === 0) throw new Error(`there is no ${node} on the wire: there are ${ports.join(", ")}`);
  await mend(names, ports);
  if (delay > 0 && !delayInKernel(names, chosen, { delay, jitter, both: node !== undefined })) {
    // A packet leaves the wire once; to and from one node, it may only come in there.
    await startSlowing(wire, { ports: chosen, out: delay, in: node === undefined ? 0 : delay, jitter });
  }
  // Last, for it names ports: those that slow a wire have others.
  if (loss > 0)
    expect(runInside(wire, ["nft", "-f", "-"], lossRules(portsNow(wire, chosen), loss)), "packets cannot be lost");
}

/** Undoes what was done to a wire. */
async function mend(names: NamespaceNames, ports: readonly string[]): Promise<void> {
  const { wire } = names;
  for (const { namespace, device } of egresses(names, ports, true)) {
    if (listNamespaces().includes(namespace)) tryTc(namespace, ["qdisc", "delete", "dev", device, "root"]);
  }
  runInside(wire, ["nft", "delete", "table", "bridge", table]);
  const slow = () => processesInside([wire]).filter((pid) => commandOf(pid).includes(slowProgram));
  for (const pid of slow()) signalProcess(pid, "SIGTERM");
  for (let waited = 0; slow().length > 0; waited += 20) {
    if (waited > patience) for (const pid of slow()) signalProcess(pid, "SIGKILL");
    await sleep(20);
  }
  inNamespace(wire, plugIn);
}

/** Where packets are put on the wire: towards machines, and, with `both`, from them. */
function egresses(
  { wire, outside, node }: NamespaceNames,
  ports: readonly string[],
  both: boolean,
): readonly { readonly namespace: string; readonly device: string }[] {
  return ports.flatMap((port) => [
    { namespace: wire, device: port },
    ...(both ? [{ namespace: port === "outside" ? outside : node(port), device: "eth0" }] : []),
  ]);
}

/** Has the kernel delay packets, if it can (`sch_netem`). @returns whether it does. */
function delayInKernel(
  names: NamespaceNames,
  ports: readonly string[],
  { delay, jitter, both }: { readonly delay: number; readonly jitter: number; readonly both: boolean },
): boolean {
  const variation = jitter > 0 ? [`${jitter}ms`] : [];
  return egresses(names, ports, both).every(({ namespace, device }) =>
    tryTc(namespace, [
      "qdisc",
      "add",
      "dev",
      device,
      "root",
      "netem",
      "delay",
      `${delay}ms`,
      ...variation,
      "limit",
      "10000",
    ]),
  );
}

/** Runs tc(8), which not every machine has. @returns whether it did what it should. */
function tryTc(namespace: string, args: readonly string[]): boolean {
  try {
    return runInside(namespace, ["tc", ...args]).status === 0;
  } catch {
    return false;
  }
}

/** Starts the program that delays packets, which lives as long as the wire does. */
async function startSlowing(wire: string, slowness: Slowness): Promise<void> {
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", slowProgram, JSON.stringify(slowness)];
  const child = spawnInside(wire, argv, { detached: true, stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error("the program has no pipes");
  let errors = "";
  stderr.on("data", (text: Buffer) => {
    errors += text.toString();
  });
  const ready = await Promise.race([once(stdout, "data").then(() => true), once(child, "close").then(() => false)]);
  if (!ready) throw new Error(`packets cannot be delayed: ${errors.trim()}`);
  stdout.destroy();
  stderr.destroy();
  child.unref();
}

/** The ports through which the bridge reaches these machines: their own, or those that slow them. */
function portsNow(wire: string, chosen: readonly string[]): readonly string[] {
  using socket = openRoute(wire);
  const plugged = listLinks(socket).filter(({ master }) => master !== undefined);
  const slow = plugged.map(({ name }) => name).filter(standsIn);
  return [...slow, ...chosen.filter((port) => plugged.some(({ name }) => name === port))];
}

/** Rules that drop so many of a hundred packets which leave by one of these ports, or came in by it. */
export function lossRules(ports: readonly string[], loss: number): string {
  const list = ports.map((port) => `"${port}"`).join(", ");
  const lost = Math.round((loss / 100) * whole);
  const chance = lost >= whole ? "" : `numgen random mod ${whole} < ${lost}`;
  return `table bridge ${table} {
  chain forward {
    type filter hook forward priority 0; policy accept;
    oifname { ${list} } ${chance} counter drop
    iifname { ${list} } oifname != { ${list} } ${chance} counter drop
  }
}
`;
}

function portsOf(namespace: string): readonly string[] {
  using socket = openRoute(namespace);
  return listLinks(socket).flatMap(({ name, kind }) => (kind === "veth" && !standsIn(name) ? [name] : []));
}

function expect({ status, errors }: Outcome, otherwise: string): void {
  if (status !== 0) throw new Error(`${otherwise} (${errors.trim().split("\n")[0]})`);
}

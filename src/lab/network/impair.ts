/** Makes the wire of a lab worse than it is: packets come late, or not at all. */
import { listNamespaces } from "../../kernel/namespace.ts";
import { type Outcome, runInside } from "../../kernel/programs.ts";
import { listLinks, openRoute } from "../../kernel/route/index.ts";
import { namespaceNames } from "../plan/names.ts";

/** How bad a wire is. */
export interface Impairment {
  /** Milliseconds that each packet takes longer, in each direction. */
  readonly delay: number;
  /** Of a hundred packets, how many are lost. */
  readonly loss: number;
  /** Only to and from this machine of the wire; all, if absent. */
  readonly node?: string;
}

const table = "lab_loss";
/** Parts of the whole that loss is counted in. */
const whole = 10_000;

/**
 * Makes the wire so bad, instead of how bad it was before; zeros make it whole.
 *
 * @throws an Error if there is no such node, or if this kernel cannot delay packets.
 */
export function impair(lab: string, { delay, loss, node }: Impairment): void {
  const { wire } = namespaceNames(lab);
  if (!listNamespaces().includes(wire)) throw new Error(`lab ${lab} has no wire: it does not run`);
  const ports = portsOf(wire);
  const chosen = node === undefined ? ports : ports.filter((port) => port === node);
  if (chosen.length === 0) throw new Error(`there is no ${node} on the wire: there are ${ports.join(", ")}`);
  for (const port of ports) runInside(wire, ["tc", "qdisc", "delete", "dev", port, "root"]);
  runInside(wire, ["nft", "delete", "table", "bridge", table]);
  if (loss > 0) expect(runInside(wire, ["nft", "-f", "-"], lossRules(chosen, loss)), "packets cannot be lost");
  if (delay === 0) return;
  for (const port of chosen) {
    const netem = ["tc", "qdisc", "add", "dev", port, "root", "netem", "delay", `${delay}ms`, "limit", "10000"];
    expect(runInside(wire, netem), "packets cannot be delayed: this kernel needs the module sch_netem");
  }
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
  return listLinks(socket).flatMap(({ name, kind }) => (kind === "veth" ? [name] : []));
}

function expect({ status, errors }: Outcome, otherwise: string): void {
  if (status !== 0) throw new Error(`${otherwise} (${errors.trim().split("\n")[0]})`);
}

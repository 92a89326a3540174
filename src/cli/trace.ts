/** `portolan trace`: where a packet goes, and why. */
import { readFileSync, writeFileSync } from "node:fs";
import { intFlag, parseFlags, stringFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { errorText } from "../telemetry/log.ts";
import { type From, parseFrom, parseTo, resolveEnds, type To } from "../trace/ask/index.ts";
import { explain } from "../trace/explain/index.ts";
import { formatWalk, type Summary, summaryOf, walkAsJson, walkAsSvg } from "../trace/render/index.ts";
import type { Snapshot } from "../trace/snapshot/index.ts";
import { formatVerification } from "../trace/verify/report.ts";
import { verify } from "../trace/verify/verify.ts";
import { Cluster, type Phase, type Question, walkCluster } from "../trace/walk/index.ts";
import { changedCluster, formatBoth, parseChanges } from "../trace/whatif/index.ts";
import { type Command, type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { choiceProblems, refuse, snapshotFlags, takeSnapshots } from "./snapshots.ts";

const flags = {
  in: stringFlag("", { help: "The interface that the packet comes in by; FROM is its sender's address." }, "interface"),
  "pod-namespace": stringFlag(
    "default",
    { help: "The namespace of pods and Services that are named without one.", shorthand: "n" },
    "name",
  ),
  ipv6: switchFlag(false, { help: "Go over IPv6 where both families lead there.", shorthand: "6" }),
  "source-port": intFlag(0, {
    help: "The packet's source port. Without it, what depends on it is told; with it, connections that are tracked already are found.",
  }),
  size: intFlag(0, { help: "The packet's length in bytes, IP header included: it may be too long for a link." }),
  fragment: switchFlag(false, { help: "Routers may cut a packet that is too long (IPv4 without DF)." }),
  ttl: intFlag(0, { help: "The packet's time to live, or hop limit." }),
  state: stringFlag(
    "new",
    {
      help: "Which packet of the connection: new, its first one; established, a later one; reply, a later one of the other side. The connection is taken to be set up as its first packet goes.",
    },
    "state",
  ),
  mark: stringFlag("0", { help: "The packet's mark, such as 0x4000." }, "number"),
  ...snapshotFlags,
  svg: stringFlag(
    "",
    { help: "A file for a picture of the way: a lane for each place, a column for each hook." },
    "file",
  ),
  verify: switchFlag(false, {
    help: "Send that very packet, have the kernel trace it, and show where the two differ. Needs root; only from a pod, namespace or node of this machine.",
  }),
  "what-if": stringFlag(
    "",
    {
      help: "A file of changes (sysctls, links, routes, rules, objects): show the way with them beside the way as it is.",
    },
    "file",
  ),
  output: stringFlag("text", { help: "text or json.", shorthand: "o" }, "format"),
  verbose: switchFlag(false, {
    help: "Show every step, every way, the way back, and why rules do not match.",
    shorthand: "v",
  }),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** How much is looked at before the rest is said to be unknown. */
const mostSteps = 1_000_000;

/** The same where ways that end alike are kept apart, as for comparing them with the kernel. */
const mostStepsApart = 100_000;

/** Exit statuses by what becomes of the packet: 0 if it reaches somebody. */
const statuses: Readonly<Record<Summary, number>> = {
  delivered: exitStatus.ok,
  forwarded: exitStatus.ok,
  rejected: 10,
  dropped: 11,
  "no route": 12,
  "no socket": 13,
  martian: 14,
  "forwarding off": 15,
  "no neighbour": 16,
  "not bridged": 17,
  "too long": 18,
  loop: 19,
  "not awaited": 23,
  unanswered: 23,
  mixed: 20,
  depends: 21,
  unknown: 22,
};

/** The command. */
export const trace: Command = {
  name: "trace",
  summary: "Tell where a packet goes, and why, without sending it",
  description:
    "Follows the first packet of a connection (with --state, a later one) from place to place, pods and other nodes included, and the answer back: hooks, rules, sets, translations, routes, bridges, links, tunnels, listening sockets. FROM is a pod (NAMESPACE/NAME, or the beginning of a name), a node, `node` for this one, `outside`, or an address; with --in, the address of a packet that comes in by that interface. TO is a Service or pod (NAME:PORT, NAMESPACE/NAME:PORT, the port by number or name), a node (NAME:PORT) or ADDRESS:PORT, with /tcp, /udp, /sctp or /icmp. svc/, pod/ and node/ before a name say what is meant. Nothing is sent and nothing is changed (but see --verify). What cannot be told is said, and both possibilities are followed.",
  usage: "[flags] FROM TO",
  examples: [
    {
      line: "portolan trace shop/cart-7d9 shop/web:http",
      what: "does this pod reach that Service, and does the answer come back?",
    },
    { line: "portolan trace node 10.96.0.10:53/udp", what: "does this node reach the cluster's DNS?" },
    { line: "portolan trace outside node2:30080", what: "a client from outside at a node port" },
    { line: "portolan trace --lab lab outside hello-node:http", what: "in a lab, with all its nodes and pods" },
    {
      line: "portolan trace --snapshot n1.json.gz,n2.json.gz -v shop/cart shop/web:http",
      what: "every step, from the snapshots of two nodes",
    },
    {
      line: "portolan trace --state reply shop/cart-7d9 shop/web:http",
      what: "do packets of the server get back, once the connection stands?",
    },
    { line: "portolan trace --what-if rules.yaml shop/cart-7d9 shop/web", what: "what would these changes do?" },
    { line: "portolan trace --svg way.svg shop/cart-7d9 shop/web", what: "the same as a picture" },
    {
      line: "portolan trace --verify --lab lab web-1 web:http",
      what: "send the packet, and see whether it goes that way",
    },
    {
      line: "portolan trace --in eth0 --size 1500 192.0.2.10 198.51.100.1:30080",
      what: "a long packet that comes in by eth0",
    },
  ],
  flags,
  statuses: {
    10: "rejected by a rule",
    11: "dropped by a rule",
    12: "no route",
    13: "nobody listens",
    14: "dropped as a martian",
    15: "forwarding is off",
    16: "nobody takes the frame: no neighbour, a wrong hardware address",
    17: "a bridge does not let it out",
    18: "too long for a link",
    19: "it goes in a circle, or its time to live is used up",
    20: "some connections reach somebody, some do not",
    21: "depends on what is not known",
    22: "unknown",
    23: "it arrives, and the answer is lost",
    24: "with --verify: the kernel does otherwise than the walk says",
    25: "with --verify: not every way is followed, so nothing can be compared",
  },
  async run(args, context) {
    const { values, rest } = parseFlags(flags, args);
    if (values.help) {
      context.out(commandHelp(trace));
      return exitStatus.ok;
    }
    const { from, to } = endsOf(values, rest);
    const { verbose } = values;
    const file = values["what-if"];
    const changes = file === "" ? undefined : parseChanges(textOf(file), file);
    const snapshots = await takeSnapshots(values, context);
    const cluster = new Cluster(snapshots, mostSteps);
    try {
      const question = questionOf(cluster, from, to, values);
      if (values.verify) return await sendAndCompare(snapshots, question, context);
      if (changes !== undefined) {
        const options = { everyRule: false, answers: true };
        const then = walkCluster(await changedCluster(snapshots, cluster, changes, mostSteps), question, options);
        context.out(formatBoth(walkCluster(new Cluster(snapshots, mostSteps), question, options), then));
        return statuses[summaryOf(then)];
      }
      const walked = walkCluster(cluster, question, { everyRule: verbose, answers: true });
      const explanation = explain(cluster, walked);
      if (values.svg !== "") writeFileSync(values.svg, walkAsSvg(walked, explanation));
      const json = values.output === "json";
      context.out(json ? walkAsJson(walked, explanation) : formatWalk(walked, { verbose, explanation }));
      return statuses[summaryOf(walked)];
    } catch (error) {
      if (error instanceof RangeError) throw new InvalidInputError(commandLine, [error.message]);
      throw error;
    }
  },
};

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${errorText(error)}`);
  }
}

/** Exit statuses by how a walk and the kernel relate. */
const agreement = { agrees: exitStatus.ok, differs: 24, "not compared": 25 } as const;

async function sendAndCompare(
  snapshots: readonly Snapshot[],
  question: Question,
  context: CommandContext,
): Promise<number> {
  const cluster = new Cluster(snapshots, mostStepsApart);
  const verification = await verify(() => new Cluster(snapshots, mostStepsApart), question, context.signal);
  const nameOf = (place: string, index: number) => cluster.world(place)?.linkName(index) ?? String(index);
  context.out(formatVerification(verification, nameOf));
  return agreement[verification.comparison.kind];
}

type Values = ReturnType<typeof parseFlags<typeof flags>>["values"];

/** Reads the arguments. @throws {InvalidInputError} that names all that is wrong. */
function endsOf(values: Values, [from, to, ...more]: readonly string[]): { readonly from: From; readonly to: To } {
  refuse(
    from === undefined || to === undefined || more.length > 0
      ? ["give FROM and TO, such as: node 10.96.0.10:53/udp"]
      : [],
  );
  const [start, target] = [parseFrom(from ?? ""), parseTo(to ?? "")];
  const problems: string[] = [];
  if (target === undefined) {
    problems.push(
      `TO ${JSON.stringify(to)}: must be like shop/web:http, 10.96.0.10:53/udp, [fd00::1]:80, node1:30080 or 10.0.0.1/icmp`,
    );
  }
  if (start === undefined) {
    problems.push(
      `FROM ${JSON.stringify(from)}: must be "node", "outside", a pod such as shop/web-1, a node, or an IP address`,
    );
  }
  if (values.in !== "" && start?.kind !== "address") {
    problems.push("--in: a packet that comes in has its sender's address as FROM");
  }
  for (const [name, most] of [
    ["source-port", 65_535],
    ["size", 65_535],
    ["ttl", 255],
  ] as const) {
    if (values[name] < 0 || values[name] > most) problems.push(`--${name} ${values[name]}: must be 1 to ${most}`);
  }
  if (!(markOf(values) <= 0xffff_ffff)) problems.push(`--mark ${values.mark}: must be a number of 32 bits`);
  if (values.output !== "text" && values.output !== "json")
    problems.push(`--output ${values.output}: must be text or json`);
  if (phaseOf(values) === undefined) problems.push(`--state ${values.state}: must be new, established or reply`);
  if (values.verify && values.state !== "new")
    problems.push(`--verify and --state ${values.state}: only a connection's first packet is sent`);
  if (values.verify && values.snapshot.length > 0)
    problems.push("--verify and --snapshot: packets are sent here and now, not in a file");
  if (values.verify && values["what-if"] !== "")
    problems.push("--verify and --what-if: the kernel does not do what is only thought of");
  const special = values.verify ? "--verify" : values["what-if"] !== "" ? "--what-if" : undefined;
  if (special !== undefined && values.output === "json")
    problems.push(`${special} and --output json: it is told as text`);
  if (special !== undefined && values.svg !== "")
    problems.push(`${special} and --svg: the way is drawn without ${special}`);
  refuse([...problems, ...choiceProblems(values)]);
  if (start === undefined || target === undefined) throw new TypeError("the problems were not told");
  return { from: start, to: target };
}

function markOf({ mark }: Values): number {
  return /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(mark) ? Number(mark) : Number.NaN;
}

function phaseOf({ state }: Values): Phase | undefined {
  return phases.find((each) => each === state);
}

const phases: readonly Phase[] = ["new", "established", "reply"];

function questionOf(cluster: Cluster, from: From, to: To, values: Values): Question {
  const { size, ttl, fragment } = values;
  const port = values["source-port"];
  const asking = {
    namespace: values["pod-namespace"],
    ...(values.in !== "" && { input: values.in }),
    ...(values.ipv6 && { family: "IPv6" as const }),
  };
  const { packet, ...where } = resolveEnds(cluster, from, to, asking);
  return {
    ...where,
    phase: phaseOf(values) ?? "new",
    packet: {
      ...packet,
      mark: markOf(values),
      ...(port > 0 && { sourcePort: port }),
      ...(size > 0 && { length: size, dontFragment: !fragment }),
      ...(ttl > 0 && { ttl }),
    },
  };
}

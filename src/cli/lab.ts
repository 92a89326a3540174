/** `portolan lab`: a cluster on this machine. Its commands are the files of the folder `lab`. */
import { parseFlags, wrap } from "../config/flags.ts";
import { closestName } from "../config/problems.ts";
import { enterWorld } from "../lab/world.ts";
import { type Command, type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { mode, netem, node } from "./lab/change.ts";
import { breaking, quiz, repair } from "./lab/faults.ts";
import { down, reset, supervise, up } from "./lab/lifecycle.ts";
import { logs, status } from "./lab/look.ts";
import { commonFlags, type LabPart, labNameOf, wrongUsage } from "./lab/part.ts";
import { apply, exec, kubectl } from "./lab/use.ts";

const parts: readonly LabPart[] = [
  up,
  down,
  reset,
  status,
  logs,
  exec,
  kubectl,
  apply,
  mode,
  node,
  netem,
  breaking,
  repair,
  quiz,
  supervise,
];

/** The command. */
export const lab: Command = {
  name: "lab",
  summary: "A cluster on this machine, to learn on, to try things and to break them",
  description: `Nodes and pods are network namespaces, the API server is one that kubectl talks to, and every node has its own "portolan proxy". It needs root, or user namespaces. Commands:\n\n${partList()}\n\n"portolan lab COMMAND --help" shows examples and flags of one.`,
  usage: "COMMAND [flags]",
  examples: [
    { line: "portolan lab up --nodes 3 --zones a,b,c", what: "three nodes, each in a zone of its own" },
    {
      line: "portolan lab kubectl -- create deployment web --image=web --replicas=3",
      what: "pods without images: a server of our own stands in",
    },
    {
      line: "portolan lab exec outside -- curl -s http://172.20.0.11:30080/",
      what: "be a client outside of the cluster",
    },
    { line: "portolan lab mode iptables", what: "switch the proxies of all nodes, while connections run" },
    { line: "portolan lab down", what: "end it; nothing is left but what the API held" },
  ],
  flags: commonFlags,
  choices: parts.map(({ name }) => name),
  statuses: { 3: "and others: what the program that was run ended with" },
  async run(argv, context) {
    const [first = "", ...args] = argv[0] === "help" ? [argv[1] ?? "--help", "--help"] : argv;
    if (first === "--help" || first === "-h") {
      context.out(commandHelp(lab));
      return exitStatus.ok;
    }
    const part = parts.find(({ name }) => name === first);
    if (part === undefined) {
      const meant = closestName(
        first,
        parts.map(({ name }) => name),
      );
      throw wrongUsage(
        first === ""
          ? "name a command of lab"
          : `unknown command ${JSON.stringify(first)}: ${meant === undefined ? "see portolan help lab" : `did you mean ${meant}?`}`,
      );
    }
    return runPart(part, args, context);
  },
};

async function runPart(part: LabPart, args: readonly string[], context: CommandContext): Promise<number> {
  const { own, tail } = part.name === "kubectl" ? splitForKubectl(args) : split(args);
  const flags = { ...commonFlags, ...part.flags };
  if (own.includes("--help") || own.includes("-h")) {
    context.out(commandHelp({ description: "", ...part, name: `lab ${part.name}`, flags }));
    return exitStatus.ok;
  }
  const { values, given, rest } = parseFlags(flags, own);
  if (part.world !== undefined) enterWorld(labNameOf(values), part.world === "makes");
  return part.run({ values, given, args: rest, tail, context } as never);
}

interface Split {
  readonly own: readonly string[];
  readonly tail: readonly string[] | undefined;
}

/** What stands before `--` is ours. */
function split(args: readonly string[]): Split {
  const dashes = args.indexOf("--");
  return dashes < 0 ? { own: args, tail: undefined } : { own: args.slice(0, dashes), tail: args.slice(dashes + 1) };
}

/** kubectl has flags and a `--` of its own: only what comes first is ours, a name or the wish for help. */
function splitForKubectl(args: readonly string[]): Split {
  const [first = "", second] = args;
  if (first === "--help" || first === "-h") return { own: [first], tail: undefined };
  const count = first === "--name" && second !== undefined ? 2 : /^--name=/.test(first) ? 1 : 0;
  const tail = args.slice(count);
  return { own: args.slice(0, count), tail: tail[0] === "--" ? tail.slice(1) : tail };
}

function partList(): string {
  return parts
    .map(({ name, usage, summary }) => `  ${`${name} ${usage}`.trimEnd()}\n${wrap(summary, 80, "      ")}`)
    .join("\n");
}

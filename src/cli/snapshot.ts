/** `portolan snapshot`: this node's networking in one file. */
import { randomBytes } from "node:crypto";
import { parseFlags, stringFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { anonymise, Mapping } from "../trace/anonymise/index.ts";
import { formatSnapshot, type Snapshot, writeSnapshotFile } from "../trace/snapshot/index.ts";
import { type Command, type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { choiceProblems, liveFlags, refuse, takeLive } from "./snapshots.ts";

const flags = {
  ...liveFlags,
  anonymise: switchFlag(false, {
    help: "Replace addresses, names, comments and hardware addresses, each always by the same, so that traces through it end as before. Link names, ports, tables and the hooks' own chains stay.",
  }),
  output: stringFlag("", { help: "The file to write; gzip if its name ends in .gz.", shorthand: "o" }, "file"),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** The command. */
export const snapshot: Command = {
  name: "snapshot",
  summary: "Write down everything that decides a packet's way on this node",
  description:
    "Reads links, addresses, routes, rules of all firewalls, connections and listening sockets of this node and of the pods on it, and the names of Services, Pods and Nodes where the cluster's API answers. It writes them as one JSON document, which `portolan trace --snapshot` reads on any machine, together with those of other nodes. It changes nothing. Needs root, but for namespaces of your own lab. The document names addresses, rules and connections: look at it before you give it away.",
  usage: "[flags]",
  examples: [
    { line: "portolan snapshot -o node1.json.gz", what: "keep the state of this node and its pods" },
    { line: "portolan snapshot --anonymise -o report.json.gz", what: "to be given to strangers" },
    { line: "portolan snapshot --lab lab -o lab.json.gz", what: "of a whole lab" },
    { line: "portolan snapshot --namespace blue --alone", what: "of one network namespace, to the standard output" },
  ],
  flags,
  async run(args, context) {
    const { values, rest } = parseFlags(flags, args);
    if (rest.length > 0) throw new InvalidInputError(commandLine, [`unexpected argument ${JSON.stringify(rest[0])}`]);
    if (values.help) {
      context.out(commandHelp(snapshot));
      return exitStatus.ok;
    }
    refuse(choiceProblems(values));
    const taken = await takeLive(values, context);
    for (const each of taken.missing) context.err(`not in the snapshot: ${each}\n`);
    const written = values.anonymise ? withoutNames(taken, context) : taken;
    if (values.output === "") context.out(formatSnapshot(written));
    else writeSnapshotFile(values.output, written);
    return exitStatus.ok;
  },
};

/** For strangers. The secret is forgotten at once: nobody can tell what stands for what. */
function withoutNames(taken: Snapshot, { err }: CommandContext): Snapshot {
  const { snapshot, unfaithful } = anonymise(taken, new Mapping(randomBytes(32)));
  for (const each of unfaithful) err(`not replaced faithfully, traces may end otherwise: ${each}\n`);
  return snapshot;
}

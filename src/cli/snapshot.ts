/** `portolan snapshot`: this node's networking in one file. */
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { parseFlags, stringFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { enterWorldWith } from "../lab/world.ts";
import { capture, formatSnapshot } from "../trace/snapshot/index.ts";
import { type Command, commandHelp, exitStatus } from "./command.ts";

const flags = {
  namespace: stringFlag(
    "",
    { help: "A named network namespace (ip netns) to look into, instead of this one." },
    "name",
  ),
  output: stringFlag("", { help: "The file to write; gzip if its name ends in .gz.", shorthand: "o" }, "file"),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** The command. */
export const snapshot: Command = {
  name: "snapshot",
  summary: "Write down everything that decides a packet's way on this node",
  description:
    "Reads links, addresses, routes, rules of all firewalls, connections and listening sockets of this node, and writes them as one JSON document, which `portolan trace --snapshot` reads on any machine. It changes nothing. Needs root. The document names addresses, rules and connections: look at it before you give it away.",
  usage: "[flags]",
  examples: [
    { line: "portolan snapshot -o node1.json.gz", what: "keep this node's state" },
    { line: "portolan snapshot --namespace blue", what: "of a network namespace, to the standard output" },
  ],
  flags,
  async run(args, context) {
    const { values, rest } = parseFlags(flags, args);
    if (rest.length > 0) throw new InvalidInputError(commandLine, [`unexpected argument ${JSON.stringify(rest[0])}`]);
    if (values.help) {
      context.out(commandHelp(snapshot));
      return exitStatus.ok;
    }
    if (values.namespace !== "") enterWorldWith(values.namespace);
    const taken = await capture(values.namespace === "" ? undefined : values.namespace);
    const text = formatSnapshot(taken);
    for (const each of taken.missing) context.err(`not in the snapshot: ${each}\n`);
    // Connections and addresses are nobody else's business.
    if (values.output === "") context.out(text);
    else writeFileSync(values.output, values.output.endsWith(".gz") ? gzipSync(text) : text, { mode: 0o600 });
    return exitStatus.ok;
  },
};

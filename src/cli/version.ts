/** `portolan version`. */
import { readFileSync } from "node:fs";
import { parseFlags, stringFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { type Command, exitStatus } from "./command.ts";

/** The version of this program, from its package.json. */
export const programVersion: string = readVersion();

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
  };
  return version;
}

const flags = { output: stringFlag("text", { shorthand: "o", help: "text or json." }, "format") };

/** The command. */
export const version: Command = {
  name: "version",
  summary: "Print the version",
  description: "Prints the versions of this program and of the Node that runs it.",
  usage: "[-o json]",
  examples: [
    { line: "portolan version", what: "for people" },
    { line: "portolan version -o json", what: "for programs" },
  ],
  flags,
  async run(args, { out }) {
    const { values } = parseFlags(flags, args);
    const facts = { version: programVersion, node: process.version, platform: process.platform, arch: process.arch };
    if (values.output === "json") out(`${JSON.stringify(facts)}\n`);
    else if (values.output === "text")
      out(`portolan ${facts.version} (Node ${facts.node}, ${facts.platform} ${facts.arch})\n`);
    else
      throw new InvalidInputError(commandLine, [`--output must be text or json, not ${JSON.stringify(values.output)}`]);
    return exitStatus.ok;
  },
};

/** `portolan help`, and the overview. */
import { parseFlags } from "../config/flags.ts";
import { closestName, commandLine, InvalidInputError } from "../config/problems.ts";
import { type Command, commandHelp, exitStatus } from "./command.ts";
import { type CommandEntry, commands } from "./commands.ts";

/** The overview of all commands. */
export function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}\n`).join("");
  return `portolan: Kubernetes service networking that shows its work

Examples:
  # serve the Services that the manifests of a directory describe, on this machine
  portolan proxy --manifests examples/hello

  # stand in for kube-proxy, with its own configuration file
  portolan proxy --config /var/lib/kube-proxy/config.conf

Usage: portolan COMMAND [flags]

Commands:
${rows}
"portolan help COMMAND" explains a command. Exit status: 0 success, 1 failure, 2 wrong usage.
`;
}

/**
 * The command of a name.
 *
 * @throws {InvalidInputError} if there is none.
 */
export function findCommand(name: string): CommandEntry {
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return found;
  const meant = closestName(
    name,
    commands.map((command) => command.name),
  );
  const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
  throw new InvalidInputError(commandLine, [`unknown command ${JSON.stringify(name)}${hint}`]);
}

/** The command. */
export const help: Command = {
  name: "help",
  summary: "Explain a command",
  description: "Shows examples, flags and exit statuses of a command, or all commands.",
  usage: "[COMMAND]",
  examples: [{ line: "portolan help proxy", what: "everything about the service proxy" }],
  flags: {},
  async run(args, { out }) {
    const [name] = parseFlags({}, args).rest;
    out(name === undefined ? overview() : commandHelp(await findCommand(name).load()));
    return exitStatus.ok;
  },
};

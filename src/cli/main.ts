/** The program: finds the command and runs it. */
import { flushCompileCache } from "node:module";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { errorText } from "../telemetry/log.ts";
import { type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { commands } from "./commands.ts";
import { findCommand, overview } from "./help.ts";

async function main(args: readonly string[]): Promise<number> {
  const context = makeContext();
  const [first = "", ...rest] = args;
  try {
    if (first === "" || first === "--help" || first === "-h") {
      (first === "" ? context.err : context.out)(overview());
      return first === "" ? exitStatus.usage : exitStatus.ok;
    }
    const command = await findCommand(first === "--version" ? "version" : first).load();
    if (command.flags.help === undefined && (rest.includes("--help") || rest.includes("-h"))) {
      context.out(commandHelp(command));
      return exitStatus.ok;
    }
    return await command.run(rest, context);
  } catch (error) {
    const usage = error instanceof InvalidInputError && error.what === commandLine;
    context.err(`Error: ${usage ? error.problems.join("\n       ") : errorText(error)}\n`);
    if (usage) context.err(`See "portolan help${isCommand(first) ? ` ${first}` : ""}".\n`);
    if (!usage && process.env.PORTOLAN_DEBUG && error instanceof Error) context.err(`${error.stack}\n`);
    return usage ? exitStatus.usage : exitStatus.failure;
  }
}

/** Milliseconds in which signals count as one: a terminal sends Ctrl-C to us, and so may whoever started us. */
const oneKeystroke = 500;

/** True for commands that have a page in the help. */
function isCommand(name: string): boolean {
  return name !== "help" && commands.some((command) => command.name === name);
}

/** The first SIGINT or SIGTERM asks the command to end, the second ends the program at once. */
function makeContext(): CommandContext {
  const stop = new AbortController();
  let asked = 0;
  for (const [name, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.on(name, () => {
      if (stop.signal.aborted && performance.now() - asked > oneKeystroke) process.exit(128 + number);
      if (!stop.signal.aborted) asked = performance.now();
      stop.abort();
    });
  }
  // Whoever reads our output may be gone; that is no reason to stop serving.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    signal: stop.signal,
    onHangUp(listener) {
      process.on("SIGHUP", listener);
    },
  };
}

// Compiled code is kept when a program ends, but those that serve may be killed.
setTimeout(flushCompileCache, 2000).unref();
// Whatever is still under way (a request, a timer) has had its time.
process.exit(await main(process.argv.slice(2)));

/** `portolan dns`: the cluster DNS server. */
import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { intFlag, parseFlags, stringFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { plugins } from "../dns/plugins/index.ts";
import { defaultCorefilePath, makeDnsServer } from "../dns/program.ts";
import { systemClock } from "../telemetry/clock.ts";
import { LogWriter } from "../telemetry/log.ts";
import { type Command, type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { dnsExplain } from "./dnsexplain.ts";
import { programVersion } from "./version.ts";

const flags = {
  conf: stringFlag(
    "",
    { help: "The Corefile; stdin: standard input. Without it, ./Corefile, or a server that answers whoami." },
    "file",
  ),
  "dns.port": intFlag(53, { help: "The port of server blocks that name none." }),
  p: intFlag(53, { help: "The same as -dns.port." }),
  pidfile: stringFlag("", { help: "A file to write the process id to." }, "file"),
  plugins: switchFlag(false, { help: "List the plugins and end." }),
  quiet: switchFlag(false, { help: "Print no banner." }),
  version: switchFlag(false, { help: "Print the version and end." }),
  manifests: stringFlag(
    "",
    { help: "A directory of manifests to take objects from instead of a cluster." },
    "directory",
  ),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** The command. */
export const dns: Command = {
  name: "dns",
  summary: "Serve the names of a cluster, in place of CoreDNS",
  description:
    "Serves DNS as a Corefile says. Flags and Corefile are CoreDNS's. On SIGUSR1, and with plugin reload when the Corefile changes, it takes over the new configuration; a bad one is refused and the old one goes on. On SIGTERM it ends; SIGHUP does nothing.",
  usage: "[flags]",
  examples: [
    { line: "portolan dns -conf /etc/coredns/Corefile", what: "stand in for CoreDNS" },
    { line: "portolan dns -conf Corefile -manifests examples/hello -p 1053", what: "serve the names of manifests" },
    { line: "portolan dns explain -conf Corefile web", what: "tell why a name is answered as it is" },
    { line: "portolan dns -p 1053", what: "answer who asks, for a first try with dig" },
  ],
  flags,
  style: "go",
  choices: ["explain"],
  async run(args, context) {
    if (args[0] === "explain") return dnsExplain.run(args.slice(1), context);
    const { values, given, rest } = parseFlags(flags, args, "go");
    if (rest.length > 0) throw new InvalidInputError(commandLine, [`unexpected argument ${JSON.stringify(rest[0])}`]);
    if (values.help) return say(context, commandHelp(dns));
    if (values.version) return say(context, `portolan ${programVersion}\n`);
    if (values.plugins) return say(context, `${plugins.map(({ name }) => `  dns.${name}\n`).join("")}`);
    const dnsPort = given.has("p") ? values.p : values["dns.port"];
    if (dnsPort < 0 || dnsPort > 65535)
      throw new InvalidInputError(commandLine, [`-dns.port ${dnsPort} must be 0 to 65535`]);
    return serve({ ...values, dnsPort }, context);
  },
};

type Values = { readonly [K in "conf" | "pidfile" | "manifests"]: string } & {
  readonly dnsPort: number;
  readonly quiet: boolean;
};

async function serve({ conf, pidfile, manifests, dnsPort, quiet }: Values, context: CommandContext): Promise<number> {
  let status: number = exitStatus.ok;
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const server = makeDnsServer({
    corefile: conf === "" ? defaultCorefilePath() : conf,
    optional: conf === "",
    dnsPort,
    ...(manifests !== "" && { manifests }),
    version: programVersion,
    write: bufferedLines(context.out),
    log: new LogWriter({ clock: systemClock, pid: process.pid, write: (line) => context.err(line) }),
    fatal(message) {
      context.err(`[FATAL] ${message}\n`);
      status = exitStatus.failure;
      stop.abort();
    },
  });
  await server.start();
  if (pidfile !== "") writeFileSync(pidfile, `${process.pid}\n`);
  process.on("SIGUSR1", () => void server.reload());
  // A terminal that is closed is no reason to stop serving.
  context.onHangUp(() => {});
  if (!quiet) {
    for (const key of server.ports.keys()) if (!key.startsWith("udp ")) context.out(`${key.replace(/^\S+ /, "")}\n`);
    context.out(`portolan ${programVersion}\nlinux/${process.arch}, node ${process.version}\n`);
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
  await server.stop(context.signal.aborted);
  if (pidfile !== "") removePidfile(pidfile);
  return status;
}

/** Collects the lines of one turn of the event loop: one write for all queries of a batch. */
function bufferedLines(write: (text: string) => void): (line: string) => void {
  let waiting = "";
  return (line) => {
    if (waiting === "") {
      setImmediate(() => {
        write(waiting);
        waiting = "";
      });
    }
    waiting += line;
  };
}

/** Removes the file if it is still ours. */
function removePidfile(path: string): void {
  try {
    if (readFileSync(path, "utf8").trim() === String(process.pid)) unlinkSync(path);
  } catch {
    // Somebody else has removed it.
  }
}

function say({ out }: CommandContext, text: string): number {
  out(text);
  return exitStatus.ok;
}

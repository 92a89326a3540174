/** `portolan proxy`: the service proxy. */
import { readFileSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { type ParsedFlags, parseFlags } from "../config/flags.ts";
import { Agent } from "../proxy/agent.ts";
import { policyOptions } from "../proxy/config/effective.ts";
import { proxyFlags } from "../proxy/config/flags.ts";
import { type AgentOptions, resolveOptions } from "../proxy/config/options.ts";
import { writeConfiguration } from "../proxy/config/schema.ts";
import type { Logging } from "../proxy/config/types.ts";
import { watchFile } from "../proxy/config/watch.ts";
import { setUpHost } from "../proxy/hostsetup.ts";
import { kubeProxyLeftovers, leftoversBeside, removeLeftovers } from "../proxy/leftovers.ts";
import { explainModes, formatExplanation } from "../proxy/modes/explain.ts";
import { chooseMode, modeFactories, modeNames } from "../proxy/modes/index.ts";
import { Reloads } from "../proxy/reload.ts";
import { systemClock } from "../telemetry/clock.ts";
import { errorText, type LogOptions, LogWriter, type Severity } from "../telemetry/log.ts";
import { type Command, type CommandContext, commandHelp, exitStatus } from "./command.ts";
import { programVersion } from "./version.ts";

type Parsed = ParsedFlags<typeof proxyFlags>;

/** The command. */
export const proxy: Command = {
  name: "proxy",
  summary: "Serve Kubernetes Services on this node, in place of kube-proxy",
  description:
    "Takes Services and EndpointSlices from an API server or from a directory of manifests and programs this node's kernel with them. Flags and configuration file are kube-proxy's. On SIGTERM it ends and leaves the rules in place, so that services go on; on SIGHUP, or when the file changes, it takes over a changed configuration.",
  usage: "[flags]",
  examples: [
    { line: "portolan proxy --manifests examples/hello", what: "serve what the manifests of a directory describe" },
    { line: "portolan proxy --manifests examples/hello --once", what: "program the kernel once, and end" },
    { line: "portolan proxy --config /var/lib/kube-proxy/config.conf", what: "stand in for kube-proxy" },
    { line: "portolan proxy --kubeconfig ~/.kube/config --proxy-mode iptables -v 2", what: "with a certain mode" },
    { line: "portolan proxy --explain-mode", what: "which modes this machine can run, and which would be used" },
    { line: "portolan proxy --cleanup", what: "remove all rules, and those of kube-proxy" },
  ],
  flags: proxyFlags,
  async run(args, context) {
    const parsed = parseFlags(proxyFlags, args);
    if (parsed.values.help) return say(context, commandHelp(proxy));
    if (parsed.values.version) return say(context, `portolan ${programVersion}\n`);
    const options = resolve(parsed);
    const log = makeLog(options, context);
    for (const warning of options.warnings) log.warn(warning);
    const target = parsed.values["write-config-to"];
    if (target !== "") {
      writeConfigFile(target, stringify(writeConfiguration(options.config)));
      log.info("Configuration written", { file: target });
      return exitStatus.ok;
    }
    switch (options.task) {
      case "cleanup":
        return cleanUp(log);
      case "explain":
        return explain(options, parsed.values.output === "json", context);
      case "init":
        return initialise(options, log);
      default:
        return serve(parsed, options, log, context);
    }
  },
};

async function cleanUp(log: LogWriter): Promise<number> {
  const leftovers = leftoversBeside(undefined, modeFactories, kubeProxyLeftovers);
  const { removed, failures } = await removeLeftovers(leftovers, log);
  if (removed.length === 0 && failures.length === 0) log.info("Nothing was left to remove");
  return outcome(failures);
}

async function initialise({ config }: AgentOptions, log: LogWriter): Promise<number> {
  const failures = setUpHost(config, log);
  const { factory } = await chooseMode(config.mode, modeFactories);
  factory.prepare?.(policyOptions(config, factory.name));
  return outcome(failures);
}

async function explain({ config }: AgentOptions, json: boolean, context: CommandContext): Promise<number> {
  const explanation = await explainModes(config.mode, modeFactories);
  say(context, json ? `${JSON.stringify(explanation)}\n` : formatExplanation(explanation));
  return explanation.chosen === undefined ? exitStatus.failure : exitStatus.ok;
}

function say({ out }: CommandContext, text: string): number {
  out(text);
  return exitStatus.ok;
}

function outcome(failures: readonly string[]): number {
  return failures.length === 0 ? exitStatus.ok : exitStatus.failure;
}

function resolve(parsed: Parsed): AgentOptions {
  return resolveOptions(parsed, readConfigFile, modeNames);
}

function readConfigFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`--config ${path}: cannot be read: ${errorText(error)}`);
  }
}

function writeConfigFile(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new Error(`--write-config-to ${path}: cannot be written: ${errorText(error)}`);
  }
}

async function serve(parsed: Parsed, options: AgentOptions, log: LogWriter, context: CommandContext): Promise<number> {
  const { signal, onHangUp } = context;
  const flags = Object.fromEntries(
    Object.entries(proxyFlags).map(([name, flag]: [string, { readonly format: (value: never) => string }]) => [
      name,
      flag.format(parsed.values[name as keyof Parsed["values"]] as never),
    ]),
  );
  const clock = systemClock;
  const agent = new Agent({
    factories: modeFactories,
    leftovers: kubeProxyLeftovers,
    log,
    clock,
    version: programVersion,
    flags,
  });
  if (options.task === "once") {
    await agent.once(options, signal);
    return signal.aborted ? exitStatus.failure : exitStatus.ok;
  }
  const read = async () => {
    const next = resolve(parsed);
    await chooseMode(next.config.mode, modeFactories);
    log.options = logOptions(next.config.logging);
    return next;
  };
  const reloads = new Reloads(options, { read, onRefused: (error) => agent.refused(error), log });
  onHangUp(() => reloads.request());
  if (options.configFile !== "") watchFile(options.configFile, () => reloads.request(), { clock, log }, signal);
  await agent.serve(options, () => reloads.next(), signal);
  log.info("Stopped, the rules stay in place");
  return exitStatus.ok;
}

function makeLog({ config }: AgentOptions, { out, err }: CommandContext): LogWriter {
  const { format, options } = config.logging;
  const split = options[format === "json" ? "json" : "text"].splitStream;
  const write = (line: string, severity: Severity) => (split && severity !== "E" ? out(line) : err(line));
  return new LogWriter({ clock: systemClock, pid: process.pid, write }, logOptions(config.logging));
}

function logOptions({ format, verbosity, vmodule }: Logging): LogOptions {
  return {
    format: format === "json" ? "json" : "text",
    verbosity,
    modules: vmodule.map(({ filePattern, verbosity: level }) => ({ pattern: filePattern, level })),
  };
}

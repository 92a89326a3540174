/** `portolan dns explain`: why a name is answered as it is. */
import { intFlag, parseFlags, stringFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { explain, formatExplanation } from "../dns/explain.ts";
import { defaultCorefilePath, loadInstance } from "../dns/program.ts";
import { tryParseType } from "../dns/wire/codes.ts";
import { tryParseAddress } from "../net/address.ts";
import { silentLogger } from "../telemetry/log.ts";
import { type Command, exitStatus } from "./command.ts";
import { programVersion } from "./version.ts";

const flags = {
  conf: stringFlag("", { help: "The Corefile; ./Corefile if not given." }, "file"),
  manifests: stringFlag(
    "",
    { help: "A directory of manifests to take objects from instead of a cluster." },
    "directory",
  ),
  from: stringFlag("127.0.0.1", { help: "The address that the client asks from." }, "address"),
  namespace: stringFlag("default", { help: "The namespace of the pod that asks." }, "name"),
  zone: stringFlag("cluster.local", { help: "The cluster's zone." }, "name"),
  ndots: intFlag(5, { help: "A name with so many dots is asked for as it is first." }),
  output: stringFlag("text", { help: "text or json." }, "format"),
};

/** The command. */
export const dnsExplain: Command = {
  name: "dns explain",
  summary: "Tell why a name is answered as it is",
  description:
    "Asks for a name as the resolver of a pod does, along its search path, and tells for each query which server block it belongs to, what each plugin did, and the answer. Plugins are started as they would be in the server, but no port is opened.",
  usage: "[flags] NAME [TYPE]",
  examples: [
    { line: "portolan dns explain -conf Corefile -namespace shop web", what: "what a pod in shop gets" },
    { line: "portolan dns explain -conf Corefile -output json www.example.org A", what: "for programs" },
  ],
  flags,
  style: "go",
  async run(args, { out, err }) {
    const { values, rest } = parseFlags(flags, args, "go");
    const [name, typeText] = rest;
    const type = typeText === undefined ? undefined : tryParseType(typeText);
    const address = tryParseAddress(values.from);
    const problems = [
      ...(name === undefined || rest.length > 2 ? ["needs a name and, if you like, a type"] : []),
      ...(typeText !== undefined && type === undefined ? [`${JSON.stringify(typeText)} is not a record type`] : []),
      ...(address === undefined ? [`-from ${JSON.stringify(values.from)} is not an address`] : []),
      ...(values.output !== "text" && values.output !== "json" ? ["-output must be text or json"] : []),
    ];
    if (problems.length > 0 || name === undefined || address === undefined)
      throw new InvalidInputError(commandLine, problems);
    const instance = await loadInstance({
      corefile: values.conf === "" ? defaultCorefilePath() : values.conf,
      optional: false,
      dnsPort: 53,
      ...(values.manifests !== "" && { manifests: values.manifests }),
      version: programVersion,
      write: (line) => {
        if (!line.startsWith("[INFO]")) err(line);
      },
      log: silentLogger,
      fatal: (message) => err(`${message}\n`),
    });
    await instance.start();
    const { zone, namespace } = values;
    const explanation = await explain(instance, {
      name,
      type,
      client: {
        protocol: "udp",
        family: address.includes(":") ? "IPv6" : "IPv4",
        address,
        port: 40000,
        localAddress: "0.0.0.0",
        localPort: 53,
      },
      resolver: { search: [`${namespace}.svc.${zone}.`, `svc.${zone}.`, `${zone}.`], ndots: values.ndots },
    });
    out(values.output === "json" ? `${JSON.stringify(explanation, null, 2)}\n` : formatExplanation(explanation));
    instance.stop();
    return explanation.needed > 0 ? exitStatus.ok : exitStatus.failure;
  },
};

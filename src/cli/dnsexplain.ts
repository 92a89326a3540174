/** `portolan dns explain`: why a name is answered as it is. */
import { intFlag, parseFlags, stringFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { type AskingPod, findAskingPod, resolverOf } from "../dns/askingpod.ts";
import { explain, formatExplanation, type Resolver } from "../dns/explain.ts";
import { defaultCorefilePath, type Rehearsal, rehearse } from "../dns/program.ts";
import { tryParseType } from "../dns/wire/codes.ts";
import { tryParseAddress } from "../net/address.ts";
import { silentLogger } from "../telemetry/log.ts";
import { type Command, commandHelp, exitStatus } from "./command.ts";
import { programVersion } from "./version.ts";

const flags = {
  conf: stringFlag("", { help: "The Corefile; ./Corefile if not given." }, "file"),
  manifests: stringFlag(
    "",
    { help: "A directory of manifests to take objects from instead of a cluster." },
    "directory",
  ),
  from: stringFlag(
    "127.0.0.1",
    {
      help: "Who asks: an address, or namespace/name of a pod of the cluster, whose address, search path and ndots then count.",
    },
    "pod",
  ),
  namespace: stringFlag("default", { help: "The namespace of the pod that asks." }, "name"),
  zone: stringFlag("cluster.local", { help: "The cluster's zone." }, "name"),
  ndots: intFlag(5, { help: "A name with so many dots is asked for as it is first." }),
  output: stringFlag("text", { help: "text or json." }, "format"),
  o: stringFlag("text", { help: "The same as -output." }, "format"),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** Milliseconds for finding the pod that asks. */
const podTimeout = 10_000;

/** The command. */
export const dnsExplain: Command = {
  name: "dns explain",
  summary: "Tell why a name is answered as it is",
  description:
    "Asks for a name as the resolver of a pod does, along its search path, and tells for each query which server block it belongs to, what each plugin did, and the answer. Plugins are started as they would be in the server, but no port is opened.",
  usage: "[flags] NAME [TYPE]",
  examples: [
    { line: "portolan dns explain -conf Corefile -namespace shop web", what: "what a pod in shop gets" },
    { line: "portolan dns explain -conf Corefile -from shop/web-0 db A", what: "what this pod gets" },
    { line: "portolan dns explain -conf Corefile -o json www.example.org A", what: "for programs" },
  ],
  flags,
  style: "go",
  statuses: { 1: "failure, or the name has no answer" },
  async run(args, { out, err, signal }) {
    const { values, given, rest } = parseAnywhere(args);
    if (values.help) {
      out(commandHelp(dnsExplain));
      return exitStatus.ok;
    }
    const [name, typeText] = rest;
    const type = typeText === undefined ? undefined : tryParseType(typeText);
    const from = parseFrom(values.from, values.namespace);
    const output = given.has("o") ? values.o : values.output;
    const problems = [
      ...(name === undefined || rest.length > 2 ? ["needs a name and, if you like, a type"] : []),
      ...(typeText !== undefined && type === undefined ? [`${JSON.stringify(typeText)} is not a record type`] : []),
      ...(from === undefined ? [`-from ${JSON.stringify(values.from)} is no address, and no namespace/pod`] : []),
      ...(output !== "text" && output !== "json" ? ["-output must be text or json"] : []),
    ];
    if (problems.length > 0 || name === undefined || from === undefined)
      throw new InvalidInputError(commandLine, problems);
    const rehearsal = await rehearse({
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
    const { instance } = rehearsal;
    await instance.start();
    const { zone, namespace } = values;
    const pod = "name" in from ? await podOf(rehearsal, from, signal) : undefined;
    const address = "name" in from ? pod?.address : from.address;
    if (address === undefined) throw new Error(`pod ${values.from} has no address yet`);
    const usual = { search: [`${namespace}.svc.${zone}.`, `svc.${zone}.`, `${zone}.`], ndots: values.ndots };
    const resolver = pod === undefined ? usual : resolverOfPod(pod, zone);
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
      resolver: given.has("ndots") ? { ...resolver, ndots: values.ndots } : resolver,
    });
    const text = () => `${pod === undefined ? "" : describe(pod, resolver)}${formatExplanation(explanation)}`;
    const json = {
      from: { address, ...(pod && { pod: `${pod.namespace}/${pod.name}` }), ...resolver },
      ...explanation,
    };
    out(output === "json" ? `${JSON.stringify(json, null, 2)}\n` : text());
    instance.stop();
    return explanation.needed > 0 ? exitStatus.ok : exitStatus.failure;
  },
};

/** Flags may stand behind the name and the type, too. */
function parseAnywhere(args: readonly string[]) {
  const consumed: string[] = [];
  const names: string[] = [];
  for (let left = args; left.length > 0; ) {
    const { rest } = parseFlags(flags, left, "go");
    consumed.push(...left.slice(0, left.length - rest.length));
    names.push(...rest.slice(0, 1));
    left = rest.slice(1);
  }
  return { ...parseFlags(flags, consumed, "go"), rest: names };
}

interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** An address, `namespace/pod`, or the name of a pod of the namespace that is given. */
function parseFrom(text: string, namespace: string): { readonly address: string } | PodName | undefined {
  const address = tryParseAddress(text);
  if (address !== undefined) return { address };
  const [, own = namespace, name] =
    /^(?:([a-z0-9]+(?:-+[a-z0-9]+)*)\/)?([a-z0-9]+(?:[-.]+[a-z0-9]+)*)$/.exec(text) ?? [];
  return name === undefined ? undefined : { namespace: own, name };
}

async function podOf({ source }: Rehearsal, from: PodName, signal: AbortSignal) {
  const objects = await source();
  if (objects === undefined)
    throw new Error("-from a pod needs plugin kubernetes in the Corefile, which knows the cluster");
  const pod = await findAskingPod(objects, from, AbortSignal.any([signal, AbortSignal.timeout(podTimeout)]));
  if (pod === undefined) throw new Error(`there is no pod ${from.namespace}/${from.name}`);
  return pod;
}

function resolverOfPod(pod: AskingPod, zone: string): Resolver {
  const resolver = resolverOf(pod, zone);
  if (resolver !== undefined) return resolver;
  throw new Error(
    `pod ${pod.namespace}/${pod.name} asks the name servers of its node, not this server: its dnsPolicy is Default, or ClusterFirst in the network of its node`,
  );
}

function describe({ namespace, name, address }: AskingPod, { search, ndots }: Resolver): string {
  return `pod ${namespace}/${name} asks from ${address}, search path ${search.join(" ") || "empty"}, ndots ${ndots}\n\n`;
}

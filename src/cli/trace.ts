/** `portolan trace`: where a packet goes, and why. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { intFlag, parseFlags, stringFlag, switchFlag } from "../config/flags.ts";
import { commandLine, InvalidInputError } from "../config/problems.ts";
import { enterWorldWith } from "../lab/world.ts";
import { type Address, familyOf, tryParseAddress } from "../net/address.ts";
import { tryParseHostPort } from "../net/protocol.ts";
import { formatWalk, type Summary, summaryOf, walkAsJson } from "../trace/render/index.ts";
import { capture, largestDocument, parseSnapshot, type Snapshot } from "../trace/snapshot/index.ts";
import { type Question, walk } from "../trace/walk/index.ts";
import { type Command, commandHelp, exitStatus } from "./command.ts";

const flags = {
  in: stringFlag("", { help: "The interface that the packet comes in by." }, "interface"),
  "source-port": intFlag(0, { help: "The packet's source port; without it, what depends on it is told." }),
  mark: stringFlag("0", { help: "The packet's mark, such as 0x4000." }, "number"),
  snapshot: stringFlag("", { help: "A file of portolan snapshot, instead of this node as it is now." }, "file"),
  namespace: stringFlag("", { help: "A named network namespace, instead of this one." }, "name"),
  output: stringFlag("text", { help: "text or json.", shorthand: "o" }, "format"),
  verbose: switchFlag(false, { help: "Show every step, every way, and why rules do not match.", shorthand: "v" }),
  help: switchFlag(false, { help: "Explain the command." }),
};

/** Exit statuses by what becomes of the packet: 0 if it reaches somebody. */
const statuses: Readonly<Record<Summary, number>> = {
  delivered: exitStatus.ok,
  forwarded: exitStatus.ok,
  rejected: 10,
  dropped: 11,
  "no route": 12,
  "no socket": 13,
  martian: 14,
  "forwarding off": 15,
  "no neighbour": 16,
  "not bridged": 17,
  "too long": 18,
  loop: 19,
  "not awaited": 23,
  mixed: 20,
  depends: 21,
  unknown: 22,
};

/** The command. */
export const trace: Command = {
  name: "trace",
  summary: "Tell where a packet goes, and why, without sending it",
  description:
    "Follows the first packet of a connection through this node as it is, or as a snapshot has it: hooks, rules, sets, translations, routes, listening sockets. FROM is `node` for a program of this node, or an address together with --in for a packet that comes in. TO is ADDRESS:PORT, with /tcp, /udp or /sctp (tcp if not given), or ADDRESS/icmp. Nothing is sent and nothing is changed. What cannot be told is said, and both possibilities are followed.",
  usage: "[flags] FROM TO",
  examples: [
    { line: "portolan trace node 10.96.0.10:53/udp", what: "does this node reach the cluster's DNS?" },
    { line: "portolan trace --in eth0 192.0.2.10 198.51.100.1:30080", what: "a client from outside at a node port" },
    {
      line: "portolan trace --snapshot node1.json.gz -v --in cni0 10.244.1.5 10.96.0.1:443",
      what: "every step, from a file",
    },
  ],
  flags,
  statuses: {
    10: "rejected by a rule",
    11: "dropped by a rule",
    12: "no route",
    13: "nobody listens",
    14: "dropped as a martian",
    15: "forwarding is off",
    20: "some connections reach somebody, some do not",
    21: "depends on what is not known",
    22: "unknown",
  },
  async run(args, context) {
    const { values, rest } = parseFlags(flags, args);
    if (values.help) {
      context.out(commandHelp(trace));
      return exitStatus.ok;
    }
    const question = questionOf(values, rest);
    const { verbose, namespace, snapshot: file } = values;
    if (namespace !== "") enterWorldWith(namespace);
    const snapshot = file === "" ? await capture(namespace === "" ? undefined : namespace) : readSnapshot(file);
    for (const each of snapshot.missing) context.err(`not in the snapshot: ${each}\n`);
    let walked: ReturnType<typeof walk>;
    try {
      walked = walk(snapshot, question, { everyRule: verbose });
    } catch (error) {
      if (error instanceof RangeError) throw new InvalidInputError(commandLine, [error.message]);
      throw error;
    }
    context.out(values.output === "json" ? walkAsJson(walked) : formatWalk(walked, { verbose }));
    return statuses[summaryOf(walked)];
  },
};

type Values = { readonly [K in "in" | "mark" | "output" | "snapshot" | "namespace"]: string } & {
  readonly "source-port": number;
};

function questionOf(values: Values, [from, to, ...more]: readonly string[]): Question {
  const problems: string[] = [];
  if (from === undefined || to === undefined || more.length > 0) {
    throw new InvalidInputError(commandLine, ["give FROM and TO, such as: node 10.96.0.10:53/udp"]);
  }
  const target = parseTarget(to);
  const source = tryParseAddress(from);
  const mark = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(values.mark) ? Number(values.mark) : Number.NaN;
  const port = values["source-port"];
  if (target === undefined)
    problems.push(`TO ${JSON.stringify(to)}: must be like 10.96.0.10:53/udp, [fd00::1]:80 or 10.0.0.1/icmp`);
  if (from !== "node" && source === undefined)
    problems.push(`FROM ${JSON.stringify(from)}: must be "node" or an IP address`);
  if (source !== undefined && target !== undefined && familyOf(source) !== familyOf(target.destination)) {
    problems.push(`FROM ${from} and TO ${to} must be of one family`);
  }
  if (from === "node" && values.in !== "")
    problems.push("--in: a packet of this node does not come in; give its sender's address as FROM");
  if (!(mark <= 0xffff_ffff)) problems.push(`--mark ${values.mark}: must be a number of 32 bits`);
  if (port < 0 || port > 65535) problems.push(`--source-port ${port}: must be 1 to 65535`);
  if (values.output !== "text" && values.output !== "json")
    problems.push(`--output ${values.output}: must be text or json`);
  if (values.snapshot !== "" && values.namespace !== "") problems.push("--snapshot and --namespace: only one of them");
  if (problems.length > 0 || target === undefined) throw new InvalidInputError(commandLine, problems);
  return {
    ...(values.in !== "" && { input: values.in }),
    packet: {
      family: familyOf(target.destination),
      ...target,
      ...(source !== undefined && { source }),
      ...(port > 0 && { sourcePort: port }),
      mark,
    },
  };
}

type Target = Pick<Question["packet"], "destination" | "protocol" | "destinationPort" | "icmpType">;

function parseTarget(text: string): Target | undefined {
  const [, place = "", protocol = "tcp"] = /^(.*?)(?:\/(tcp|udp|sctp|icmp))?$/i.exec(text) ?? [];
  if (protocol.toLowerCase() === "icmp") {
    const destination = tryParseAddress(place.replace(/^\[(.*)\]$/, "$1"));
    if (destination === undefined) return undefined;
    return familyOf(destination) === "IPv4"
      ? { destination, protocol: 1, icmpType: 8 }
      : { destination, protocol: 58, icmpType: 128 };
  }
  const parsed = tryParseHostPort(place);
  const destination: Address | undefined = tryParseAddress(parsed?.host ?? "");
  if (parsed === undefined || destination === undefined || parsed.port === 0) return undefined;
  const numbers: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
  return { destination, destinationPort: parsed.port, protocol: numbers[protocol.toLowerCase()] ?? 6 };
}

/** @throws an Error that names the file. */
function readSnapshot(file: string): Snapshot {
  const bytes = readFileSync(file);
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  let text: string;
  try {
    text = (isGzip ? gunzipSync(bytes, { maxOutputLength: largestDocument }) : bytes).toString();
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  return parseSnapshot(text, file);
}

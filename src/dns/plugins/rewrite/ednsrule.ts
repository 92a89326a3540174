/** Rules of the field `edns0`: options of queries. */
import { addressBytes, tryParseAddress } from "../../../net/address.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import type { Query } from "../../server/query.ts";
import { OPTION, typeName } from "../../wire/codes.ts";
import type { Option } from "../../wire/message.ts";
import type { Rule } from "./rule.ts";

/** What happens to an option: `set` replaces or adds, `append` adds if it is missing, `replace` only replaces. */
const actions = ["set", "append", "replace", "unset"] as const;
type Action = (typeof actions)[number];

const defaultSize = 4096;

/** `edns0 local|nsid|subnet ACTION ... [revert]` */
export function ednsRule(stanza: Stanza, then: Rule["then"], words: readonly string[]): Rule {
  const revert = words.at(-1) === "revert";
  const [kind, actionText, ...args] = revert ? words.slice(0, -1) : words;
  const action = actions.find((one) => one === actionText);
  if (action === undefined) throw stanza.error(`'${actionText}' must be one of ${actions.join(", ")}`);
  const { code, data } = optionOf(stanza, kind ?? "", action, args);
  return {
    then,
    apply(query) {
      const edns = query.message.edns ?? { udpSize: defaultSize, version: 0, do: false, options: [] };
      const there = edns.options.filter((option) => option.code === code);
      const options = change(edns.options, there, action, code, () => data(query));
      if (options === undefined) return undefined;
      const changed = query.with({ ...query.message, edns: { ...edns, options } });
      if (!revert) return { query: changed };
      // The reply's options are those of the client's query again.
      return {
        query: changed,
        reply: (reply) =>
          reply.edns === undefined
            ? reply
            : {
                ...reply,
                edns: { ...reply.edns, options: [...reply.edns.options.filter((one) => one.code !== code), ...there] },
              },
      };
    },
  };
}

function change(
  options: readonly Option[],
  there: readonly Option[],
  action: Action,
  code: number,
  data: () => Uint8Array | undefined,
): readonly Option[] | undefined {
  const others = options.filter((option) => !there.includes(option));
  if (action === "unset") return there.length > 0 ? others : undefined;
  if (action === "append" && there.length > 0) return undefined;
  if (action === "replace" && there.length === 0) return undefined;
  const value = data();
  return value === undefined ? undefined : [...others, { code, data: value }];
}

function optionOf(
  stanza: Stanza,
  kind: string,
  action: Action,
  args: readonly string[],
): { readonly code: number; readonly data: (query: Query) => Uint8Array | undefined } {
  switch (kind) {
    case "local": {
      const [codeText = "", value = ""] = args;
      const code = /^(0x[0-9a-fA-F]{1,4}|\d{1,5})$/.test(codeText) ? Number(codeText) : Number.NaN;
      if (!(code <= 65535)) throw stanza.error(`'${codeText}' is not the code of an option`);
      if (args.length !== (action === "unset" ? 1 : 2)) throw stanza.error("local needs a code and data");
      return { code, data: localData(value) };
    }
    case "nsid":
      if (args.length > 0) throw stanza.error("nsid takes no arguments");
      return { code: OPTION.NSID, data: () => new Uint8Array() };
    case "subnet": {
      if (action === "unset") return { code: OPTION.SUBNET, data: () => undefined };
      const [four, six] = args.map((text) => (/^\d{1,3}$/.test(text) ? Number(text) : Number.NaN));
      if (args.length !== 2 || four === undefined || six === undefined || !(four <= 32) || !(six <= 128)) {
        throw stanza.error("subnet needs two lengths of prefixes, such as 24 56");
      }
      return { code: OPTION.SUBNET, data: (query) => subnetOf(query, four, six) };
    }
    default:
      throw stanza.error(`'${kind}' must be local, nsid or subnet`);
  }
}

/** `0x...` bytes, `{variable}`, or text. */
function localData(value: string): (query: Query) => Uint8Array | undefined {
  const hex = /^0x((?:[0-9a-fA-F]{2})*)$/.exec(value)?.[1];
  if (hex !== undefined) {
    const bytes = new Uint8Array(Buffer.from(hex, "hex"));
    return () => bytes;
  }
  const variable = /^\{(.+)\}$/.exec(value)?.[1];
  if (variable === undefined) {
    const bytes = new Uint8Array(Buffer.from(value));
    return () => bytes;
  }
  if (variable.startsWith("/")) {
    return ({ state }) => {
      const found = state.metadata?.get(variable.slice(1))?.();
      return found === undefined ? undefined : new Uint8Array(Buffer.from(found));
    };
  }
  return (query) => variableBytes(variable, query);
}

function variableBytes(variable: string, { client, question }: Query): Uint8Array | undefined {
  const text = (value: string) => new Uint8Array(Buffer.from(value));
  const port = (value: number) => Uint8Array.of(value >> 8, value & 255);
  switch (variable) {
    case "qname":
      return text(question.name);
    case "qtype":
      return text(typeName(question.type));
    case "client_ip":
      return bytesOf(client.address);
    case "client_port":
      return port(client.port);
    case "protocol":
      return text(client.protocol === "udp" ? "udp" : "tcp");
    case "server_ip":
      return bytesOf(client.localAddress);
    case "server_port":
      return port(client.localPort);
    default:
      return undefined;
  }
}

function bytesOf(text: string): Uint8Array | undefined {
  const address = tryParseAddress(text);
  return address === undefined ? undefined : addressBytes(address);
}

/** The client's network as an option (RFC 7871 6). */
function subnetOf({ client }: Query, four: number, six: number): Uint8Array | undefined {
  const bytes = bytesOf(client.address);
  if (bytes === undefined) return undefined;
  const isFour = bytes.length === 4;
  const length = isFour ? four : six;
  const kept = bytes.slice(0, Math.ceil(length / 8));
  const last = kept.length - 1;
  if (length % 8 !== 0 && last >= 0) kept[last] = (kept[last] ?? 0) & (0xff00 >> (length % 8));
  return Uint8Array.of(0, isFour ? 1 : 2, length, 0, ...kept);
}

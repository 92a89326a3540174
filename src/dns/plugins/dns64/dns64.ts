/** Plugin dns64: IPv6 addresses for names that have IPv4 addresses only (RFC 6147). */
import { type Address, addressBytes, addressFromBytes } from "../../../net/address.ts";
import { type Prefix, prefixAddress, prefixFamily, prefixLength, tryParsePrefix } from "../../../net/prefix.ts";
import { type Stanza, single } from "../../corefile/stanza.ts";
import { after, type Handler, type Next, type Outcome, type Plugin, type Reply } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { CLASS, RCODE, TYPE } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { is, type ResourceRecord, record } from "../../wire/record.ts";
import { serverLabel } from "../prometheus/prometheus.ts";

/** What a directive says. */
interface Options {
  readonly prefix: Prefix;
  /** Names that have IPv6 addresses are translated too. */
  readonly all: boolean;
  /** Clients that ask over IPv4 are served too. */
  readonly allowIPv4: boolean;
}

/** The well-known prefix (RFC 6052 2.1), and the lengths that a prefix may have. */
const wellKnown = "64:ff9b::/96";
const lengths: readonly number[] = [32, 40, 48, 56, 64, 96];
/** Seconds that a translated address may be kept where the SOA does not say (RFC 6147 5.1.7). */
const longestTtl = 600;

/** The plugin. */
export const dns64: Plugin = {
  name: "dns64",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    return new Dns64(parse(stanza), site);
  },
};

function parse(stanza: Stanza): Options {
  let prefix = prefixOf(stanza, stanza.expect(0, 1)[0] ?? wellKnown);
  let all = false;
  let allowIPv4 = false;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "prefix":
        prefix = prefixOf(property, property.expect(1)[0] ?? "");
        break;
      case "translate_all":
        property.expect(0);
        all = true;
        break;
      case "allow_ipv4":
        property.expect(0);
        allowIPv4 = true;
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  return { prefix, all, allowIPv4 };
}

function prefixOf(stanza: Stanza, text: string): Prefix {
  const prefix = tryParsePrefix(text);
  if (prefix === undefined || prefixFamily(prefix) !== "IPv6" || !lengths.includes(prefixLength(prefix))) {
    throw stanza.error(`'${text}' must be an IPv6 prefix of length ${lengths.join(", ")}`);
  }
  return prefix;
}

class Dns64 implements Handler {
  readonly name = "dns64";
  readonly #options: Options;
  readonly #translated;

  constructor(options: Options, site: Site) {
    this.#options = options;
    this.#translated = site.env.metrics
      .counters("coredns_dns64_requests_translated_total", "Queries answered with translated addresses.", "server")
      .labels(serverLabel(site));
  }

  serve(query: Query, next: Next): Outcome {
    const { allowIPv4, all } = this.#options;
    const wanted = query.type === TYPE.AAAA && query.question.class === CLASS.IN && !query.message.cd;
    if (!wanted || (query.client.family === "IPv4" && !allowIPv4)) return next(query);
    return after(next(query), (reply): Outcome => {
      if (reply === undefined || (!all && !needsTranslation(reply))) return reply;
      return after(next(query.ask({ type: TYPE.A })), (four) => this.#translate(query, reply, four));
    });
  }

  #translate(query: Query, six: Message, four: Reply): Reply {
    if (four === undefined || four.rcode !== RCODE.NOERROR || !four.answer.some((one) => is(one, "A"))) return six;
    const soa = six.authority.find((one) => is(one, "SOA"));
    const limit = soa?.ttl ?? longestTtl;
    const answer = four.answer.flatMap((one): ResourceRecord[] => {
      if (is(one, "A")) {
        const address = translate(one.data.address, this.#options.prefix);
        return [record(one.name, "AAAA", Math.min(one.ttl, limit), { address })];
      }
      return is(one, "RRSIG") ? [] : [one];
    });
    this.#translated.add(1);
    return { ...four, questions: query.message.questions, answer, ad: false };
  }
}

/** True if there are no addresses, for no other reason than that there are none. */
function needsTranslation({ rcode, answer }: Message): boolean {
  if (rcode === RCODE.NXDOMAIN) return false;
  return rcode !== RCODE.NOERROR || !answer.some((one) => is(one, "AAAA"));
}

/** An IPv4 address within an IPv6 prefix; bits 64 to 71 stay zero (RFC 6052 2.2). */
export function translate(address: Address, prefix: Prefix): Address {
  const bytes = addressBytes(prefixAddress(prefix));
  let at = prefixLength(prefix) / 8;
  for (const byte of addressBytes(address)) {
    if (at === 8) at++;
    bytes[at++] = byte;
  }
  return addressFromBytes(bytes);
}

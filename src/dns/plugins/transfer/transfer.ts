/** Plugin transfer: gives zones of other plugins to other servers (AXFR, RFC 5936; IXFR as a whole; NOTIFY, RFC 1996). */
import { type Address, tryParseAddress } from "../../../net/address.ts";
import { hostPrefix, type Prefix, prefixContains, tryParsePrefix } from "../../../net/prefix.ts";
import { udpExchange } from "../../client/udp.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import type { Handler, Next, Outcome, Plugin } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { errorReply, reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { zonesOf } from "../../server/zones.ts";
import { OPCODE, RCODE, TYPE } from "../../wire/codes.ts";
import { encodeCopy, makeQuery } from "../../wire/message.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";
import { Writer } from "../../wire/writer.ts";
import { parseDestination } from "../forward/destination.ts";

/** Who may have which zones, and who is told of changes. */
interface Rule {
  readonly zones: readonly string[];
  readonly everyone: boolean;
  readonly networks: readonly Prefix[];
  readonly notify: readonly { readonly address: Address; readonly port: number }[];
}

const notifyTimeout = 2000;
const notifyTries = 3;

/** The plugin. */
export const transfer: Plugin = {
  name: "transfer",
  setup: (stanzas, site) =>
    new TransferHandler(
      stanzas.map((stanza) => parse(stanza, site)),
      site,
    ),
};

function parse(stanza: Stanza, site: Site): Rule {
  const zones = zonesOf(stanza, stanza.args, site);
  const networks: Prefix[] = [];
  const notify: { address: Address; port: number }[] = [];
  let everyone = false;
  for (const property of stanza.properties) {
    if (property.name !== "to") throw stanza.unknown(property);
    for (const text of property.expect(1, Number.POSITIVE_INFINITY)) {
      const prefix = tryParsePrefix(text);
      if (text === "*") everyone = true;
      else if (prefix !== undefined) networks.push(prefix);
      else {
        const destination = parseDestination(text);
        const address = destination && tryParseAddress(destination.host);
        if (destination?.kind !== "dns" || address === undefined) {
          throw property.error(`'${text}' is not an address, a prefix or *`);
        }
        networks.push(hostPrefix(address));
        notify.push({ address, port: destination.port });
      }
    }
  }
  if (!everyone && networks.length === 0) throw stanza.error("needs to");
  return { zones, everyone, networks, notify };
}

/** The handler; plugins with zones tell it of changes. */
export class TransferHandler implements Handler {
  readonly name = "transfer";
  readonly #rules: readonly Rule[];
  readonly #site: Site;

  constructor(rules: readonly Rule[], site: Site) {
    this.#rules = rules;
    this.#site = site;
  }

  serve(query: Query, next: Next): Outcome {
    const { type, name, client, message } = query;
    if (type !== TYPE.AXFR && type !== TYPE.IXFR) return next(query);
    const rule = this.#rules.find(({ zones }) => zones.includes(name));
    if (rule === undefined) return next(query);
    const address = tryParseAddress(client.address);
    const known = address !== undefined && rule.networks.some((network) => prefixContains(network, address));
    if (!rule.everyone && !known) return errorReply(message, RCODE.REFUSED);
    const [soa] = message.authority;
    const serial = type === TYPE.IXFR && soa !== undefined && is(soa, "SOA") ? soa.data.serial : 0;
    for (const handler of this.#site.handlers) {
      const records = handler.transfer?.(name, serial);
      if (records === undefined) continue;
      return this.#answer(query, records);
    }
    return next(query);
  }

  /** Tells the servers that are named for a zone that it has changed. */
  notify(zone: string): void {
    for (const { zones, notify } of this.#rules) {
      if (zones.includes(zone)) for (const target of notify) void this.#notify(zone, target);
    }
  }

  #answer(query: Query, records: Iterable<ResourceRecord>): Outcome {
    const { message, client, type, name, state } = query;
    if (client.protocol !== "tcp" && client.protocol !== "tls") {
      // Over UDP an IXFR may be answered with the SOA, so that the client comes again over TCP (RFC 1995 2).
      const [soa] = records;
      return type === TYPE.IXFR && soa !== undefined
        ? reply(message, { answer: [soa] })
        : errorReply(message, RCODE.FORMERR);
    }
    const log = this.#site.env.log.plugin("transfer");
    state.records = counted(records, (count) => {
      log.info(`Outgoing transfer of ${count} records of zone ${name} to ${client.address}`);
    });
    return reply(message);
  }

  async #notify(zone: string, { address, port }: { readonly address: Address; readonly port: number }): Promise<void> {
    const { random, log } = this.#site.env;
    const query = {
      ...makeQuery(Math.floor(random() * 65536), zone, TYPE.SOA),
      opcode: OPCODE.NOTIFY,
      aa: true,
      rd: false,
    };
    const exchange = udpExchange({ address, port });
    for (let i = 1; i <= notifyTries; i++) {
      try {
        await exchange.ask(encodeCopy(new Writer(512), query), notifyTimeout);
        break;
      } catch (error) {
        if (i === notifyTries)
          log.plugin("transfer").warn(`${address}:${port} was not told of zone ${zone}: ${messageOf(error)}`);
      }
    }
    exchange.close();
  }
}

/** The records, and their number at their end. */
function* counted(records: Iterable<ResourceRecord>, tell: (count: number) => void): Generator<ResourceRecord> {
  let count = 0;
  for (const record of records) {
    count++;
    yield record;
  }
  tell(count);
}

/** Plugin secondary: zones that are fetched from other servers, and kept up to date. */
import { type Address, tryParseAddress } from "../../../net/address.ts";
import { fetchZone } from "../../client/transfer.ts";
import { udpExchange } from "../../client/udp.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import type { Fallthrough, Handler, Next, Outcome, Plugin } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { errorReply, reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { OPCODE, RCODE, TYPE } from "../../wire/codes.ts";
import { decodeMessage, encodeCopy, makeQuery } from "../../wire/message.ts";
import { longestZone } from "../../wire/names.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";
import { Writer } from "../../wire/writer.ts";
import { lookUp } from "../../zone/lookup.ts";
import { serveZone } from "../../zone/serve.ts";
import { Zone } from "../../zone/zone.ts";
import { unavailable } from "../file/file.ts";
import { parseDestination } from "../forward/destination.ts";
import { notifySecondaries, transferOf } from "../transfer/provide.ts";

/** A server that a zone is fetched from. */
interface Primary {
  readonly address: Address;
  readonly port: number;
}

/** A zone of a directive and what is known of it. */
interface Kept {
  readonly origin: string;
  readonly primaries: readonly Primary[];
  readonly fallthrough: Fallthrough;
  zone: Zone | undefined;
  /** Milliseconds since the epoch after which the zone is not served any more. */
  expires: number;
  /** Ends the wait for the next look at the primaries. */
  wake: () => void;
}

const timeout = 5000;
const firstRetry = 2000;
const shortestWait = 1000;

/** The plugin. */
export const secondary: Plugin = {
  name: "secondary",
  setup: (stanzas, site) =>
    new Secondary(
      stanzas.flatMap((stanza) => parse(stanza, site)),
      site,
    ),
};

function parse(stanza: Stanza, site: Site): readonly Kept[] {
  const primaries: Primary[] = [];
  let fallthrough = noFallthrough;
  for (const property of stanza.properties) {
    if (property.name === "fallthrough") {
      fallthrough = fallthroughOf(property);
      continue;
    }
    if (property.name !== "transfer" || property.args[0] !== "from") throw stanza.unknown(property);
    for (const text of property.expect(2, Number.POSITIVE_INFINITY).slice(1)) {
      const destination = parseDestination(text);
      const address = destination && tryParseAddress(destination.host);
      if (destination?.kind !== "dns" || address === undefined) throw property.error(`'${text}' is not an address`);
      primaries.push({ address, port: destination.port });
    }
  }
  if (primaries.length === 0) throw stanza.error("needs transfer from");
  return zonesOf(stanza, stanza.args, site).map((origin) => ({
    origin,
    primaries,
    fallthrough,
    zone: undefined,
    expires: 0,
    wake: () => {},
  }));
}

class Secondary implements Handler {
  readonly name = "secondary";
  readonly #kept: ReadonlyMap<string, Kept>;
  readonly #origins: readonly string[];
  readonly #site: Site;

  constructor(kept: readonly Kept[], site: Site) {
    this.#kept = new Map(kept.map((one) => [one.origin, one]));
    this.#origins = [...this.#kept.keys()];
    this.#site = site;
    site.onStart((signal) => {
      for (const one of kept) void this.#follow(one, signal);
    });
  }

  serve(query: Query, next: Next): Outcome {
    const origin = longestZone(this.#origins, query.name);
    const kept = origin === undefined ? undefined : this.#kept.get(origin);
    if (kept === undefined) return next(query);
    if (query.message.opcode === OPCODE.NOTIFY) return this.#notified(query, kept);
    const { zone } = kept;
    if (zone === undefined || this.#site.env.clock.now() > kept.expires) throw unavailable(this.name, kept.origin);
    if (kept.fallthrough(query.name) && lookUp(zone, query.name, query.type, false).rcode === RCODE.NXDOMAIN) {
      return next(query);
    }
    return serveZone(zone, query, this.#site);
  }

  transfer(origin: string, serial: number): Iterable<ResourceRecord> | undefined {
    return transferOf(this.#kept.get(origin)?.zone, serial);
  }

  /** A primary says that a zone has changed (RFC 1996 3.11): looks now. */
  #notified(query: Query, kept: Kept): Outcome {
    const known = kept.primaries.some(({ address }) => address === query.client.address);
    if (query.name !== kept.origin || !known) return errorReply(query.message, RCODE.REFUSED);
    kept.wake();
    return reply(query.message);
  }

  /** Looks at the primaries as often as the SOA says (RFC 1035 3.3.13). */
  async #follow(kept: Kept, signal: AbortSignal): Promise<void> {
    const { clock } = this.#site.env;
    let retry = firstRetry;
    while (!signal.aborted) {
      const fresh = await this.#refresh(kept);
      const soa = kept.zone?.soa.data;
      if (fresh) retry = firstRetry;
      else retry = soa === undefined ? Math.min(2 * retry, 60_000) : soa.retry * 1000;
      const wait = fresh && soa !== undefined ? soa.refresh * 1000 : retry;
      const wakeUp = new AbortController();
      kept.wake = () => wakeUp.abort();
      await clock.sleep(Math.max(shortestWait, wait), AbortSignal.any([signal, wakeUp.signal]));
    }
  }

  /** True if the zone is as one of the primaries has it. */
  async #refresh(kept: Kept): Promise<boolean> {
    const { clock, random, log } = this.#site.env;
    const { origin } = kept;
    for (const primary of kept.primaries) {
      try {
        const serial = kept.zone === undefined ? undefined : await askSerial(primary, origin, random);
        if (serial === undefined || isNewer(serial, kept.zone?.serial ?? 0)) {
          const id = Math.floor(random() * 65536);
          kept.zone = new Zone(origin, await fetchZone(primary, origin, id, timeout));
          log
            .plugin("secondary")
            .info(`Transferred zone ${origin} with serial ${kept.zone.serial} from ${primary.address}`);
          notifySecondaries(this.#site, origin);
        }
        kept.expires = clock.now() + (kept.zone?.soa.data.expire ?? 0) * 1000;
        return true;
      } catch (error) {
        log.plugin("secondary").warn(`zone ${origin} from ${primary.address}: ${messageOf(error)}`);
      }
    }
    return false;
  }
}

async function askSerial(primary: Primary, origin: string, random: () => number): Promise<number> {
  const exchange = udpExchange(primary);
  try {
    const query = { ...makeQuery(Math.floor(random() * 65536), origin, TYPE.SOA), rd: false };
    const [soa] = decodeMessage(await exchange.ask(encodeCopy(new Writer(512), query), timeout)).answer;
    if (soa === undefined || !is(soa, "SOA")) throw new Error("the reply has no SOA record");
    return soa.data.serial;
  } finally {
    exchange.close();
  }
}

/** Compares serials, which wrap around (RFC 1982). */
function isNewer(serial: number, than: number): boolean {
  return serial !== than && (serial - than) >>> 0 < 0x80000000;
}

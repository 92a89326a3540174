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
import { suffixesOf } from "../../wire/names.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";
import { Writer } from "../../wire/writer.ts";
import { serveZone } from "../../zone/serve.ts";
import { Zone } from "../../zone/zone.ts";
import { unavailable } from "../file/file.ts";
import { parseDestination } from "../forward/destination.ts";
import { notifySecondaries, transferOf } from "../transfer/provide.ts";
import { type Member, membersOf } from "./catalog.ts";

/** A server that a zone is fetched from. */
interface Primary {
  readonly address: Address;
  readonly port: number;
}

/** A zone of a directive or of a catalog, and what is known of it. */
interface Kept {
  readonly origin: string;
  readonly primaries: readonly Primary[];
  readonly fallthrough: Fallthrough;
  /** The zone lists others that are to be kept too. */
  readonly catalog: boolean;
  /** The origin of the catalog that lists it, and its label there; undefined for zones of the Corefile. */
  readonly listed: { readonly by: string; readonly label: string; readonly stop: AbortController } | undefined;
  zone: Zone | undefined;
  /** Milliseconds since the epoch after which the zone is not served any more. */
  expires: number;
  /** Ends the wait for the next look at the primaries. */
  wake: () => void;
}

const timeout = 5000;
const firstRetry = 2000;
const shortestWait = 1000;
/** Zones that are fetched at the same time. */
const maxTransfers = 10;

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
  let catalog = false;
  for (const property of stanza.properties) {
    if (property.name === "catalog") {
      property.expect(0);
      catalog = true;
      continue;
    }
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
    catalog,
    listed: undefined,
    zone: undefined,
    expires: 0,
    wake: () => {},
  }));
}

class Secondary implements Handler {
  readonly name = "secondary";
  readonly #kept: Map<string, Kept>;
  readonly #site: Site;
  #transfers = 0;
  /** Those that wait for others to end. */
  readonly #waiting: (() => void)[] = [];

  constructor(kept: readonly Kept[], site: Site) {
    this.#kept = new Map(kept.map((one) => [one.origin, one]));
    this.#site = site;
    site.onStart((signal) => {
      for (const one of kept) void this.#follow(one, signal);
    });
  }

  serve(query: Query, next: Next): Outcome {
    const kept = this.#find(query.name);
    if (kept === undefined) return next(query);
    if (query.message.opcode === OPCODE.NOTIFY) return this.#notified(query, kept);
    const { zone } = kept;
    if (zone === undefined || this.#site.env.clock.now() > kept.expires) throw unavailable(this.name, kept.origin);
    return serveZone(zone, query, next, kept.fallthrough, this.#site);
  }

  #find(name: string): Kept | undefined {
    for (const suffix of suffixesOf(name)) {
      const kept = this.#kept.get(suffix);
      if (kept !== undefined) return kept;
    }
    return undefined;
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
      if (signal.aborted) return;
      if (fresh && kept.catalog) this.#takeMembers(kept, signal);
      const soa = kept.zone?.soa.data;
      if (fresh) retry = firstRetry;
      else retry = soa === undefined ? Math.min(2 * retry, 60_000) : soa.retry * 1000;
      const wait = fresh && soa !== undefined ? soa.refresh * 1000 : retry;
      const wakeUp = new AbortController();
      kept.wake = () => wakeUp.abort();
      await clock.sleep(Math.max(shortestWait, wait), AbortSignal.any([signal, wakeUp.signal]));
    }
  }

  /** Keeps the zones that a catalog lists, and no longer those that it lists no more (RFC 9432 5). */
  #takeMembers(catalog: Kept, signal: AbortSignal): void {
    const log = this.#site.env.log.plugin("secondary");
    const members = readMembers(catalog, (message) => log.warn(`${message}: the members go on as they were`));
    if (members === undefined) return;
    for (const [origin, { listed }] of this.#kept) {
      if (listed?.by !== catalog.origin || members.get(origin)?.label === listed.label) continue;
      listed.stop.abort();
      this.#kept.delete(origin);
      if (!members.has(origin)) log.info(`Zone ${origin} is no longer in catalog ${catalog.origin}`);
    }
    for (const [origin, { label }] of members) {
      const there = this.#kept.get(origin);
      if (there?.listed?.by === catalog.origin) continue;
      if (there !== undefined) {
        const other = this.#kept.get(there.listed?.by ?? "");
        if (other === undefined || readMembers(other, () => {})?.get(origin)?.moveTo !== catalog.origin) {
          log.warn(`Zone ${origin} of catalog ${catalog.origin} is kept already, and not for this catalog`);
          continue;
        }
        there.listed?.stop.abort();
      }
      const stop = new AbortController();
      // What moves from one catalog to another under the same label is the same zone.
      const same = there?.listed?.label === label ? there : undefined;
      const { primaries, fallthrough } = catalog;
      const listed = { by: catalog.origin, label, stop };
      const { zone, expires } = same ?? { zone: undefined, expires: 0 };
      const kept: Kept = { origin, primaries, fallthrough, catalog: false, listed, zone, expires, wake: () => {} };
      this.#kept.set(origin, kept);
      log.info(`Zone ${origin} is in catalog ${catalog.origin}`);
      void this.#follow(kept, AbortSignal.any([signal, stop.signal]));
    }
  }

  /** True if the zone is as one of the primaries has it, after waiting for others if many are looked at. */
  async #refresh(kept: Kept): Promise<boolean> {
    if (this.#transfers >= maxTransfers) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#transfers++;
    try {
      return await this.#fetch(kept);
    } finally {
      this.#transfers--;
      this.#waiting.shift()?.();
    }
  }

  async #fetch(kept: Kept): Promise<boolean> {
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

/** The members of a catalog that was fetched; undefined, after telling why, if it is none. */
function readMembers({ zone }: Kept, tell: (message: string) => void): ReadonlyMap<string, Member> | undefined {
  if (zone === undefined) return undefined;
  try {
    return membersOf(zone);
  } catch (error) {
    tell(messageOf(error));
    return undefined;
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

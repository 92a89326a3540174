/** Plugin file: authoritative answers from zone files. */
import { readFileSync, statSync } from "node:fs";
import type { Stanza } from "../../corefile/stanza.ts";
import { isMissing, messageOf } from "../../server/log.ts";
import {
  type Fallthrough,
  type Handler,
  type Next,
  type Outcome,
  type Plugin,
  ServeError,
} from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { OPCODE, RCODE } from "../../wire/codes.ts";
import { longestZone } from "../../wire/names.ts";
import type { ResourceRecord } from "../../wire/record.ts";
import { serveZone } from "../../zone/serve.ts";
import { Zone } from "../../zone/zone.ts";
import { parseZoneFile } from "../../zonefile/zonefile.ts";
import { notifySecondaries, transferOf } from "../transfer/provide.ts";

/** A zone, read from a file. Times in milliseconds. */
interface ZoneSource {
  readonly path: string;
  readonly origin: string;
  readonly reload: number;
  /** Reads the file when it was touched, not when its serial changed. */
  readonly byTime: boolean;
  readonly fallthrough: Fallthrough;
  /** What the file says at first; undefined if it is not there yet. */
  readonly zone: Zone | undefined;
}

/** Bytes of a zone file. */
const maxFile = 256 << 20;

/** The plugin. */
export const file: Plugin = {
  name: "file",
  setup(stanzas, site) {
    return new FileHandler(
      stanzas.flatMap((stanza) => parse(stanza, site)),
      site,
    );
  },
};

function parse(stanza: Stanza, site: Site): readonly ZoneSource[] {
  const [name = "", ...zones] = stanza.expect(1, Number.POSITIVE_INFINITY);
  let reload = 60_000;
  let byTime = false;
  let fallthrough = noFallthrough;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "reload":
        property.expect(1);
        reload = property.duration(0, "reload");
        break;
      case "reload_by_mtime":
        property.expect(0);
        byTime = true;
        break;
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      // Had a meaning once, and stands in old files.
      case "upstream":
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  const path = site.path(name);
  return zonesOf(stanza, zones, site).map((origin) => {
    const source = { path, origin, reload, byTime, fallthrough };
    try {
      return { ...source, zone: readZone(source) };
    } catch (error) {
      if (!isMissing(error) || reload === 0) throw stanza.error(messageOf(error));
      site.env.log.plugin("file").warn(`${path} is not there: looking again every ${reload / 1000}s`);
      return { ...source, zone: undefined };
    }
  });
}

/**
 * Reads a zone from its file.
 *
 * @throws if the file cannot be read, or is no zone file of this zone.
 */
export function readZone({ path, origin }: { readonly path: string; readonly origin: string }): Zone {
  const readFile = (name: string) => {
    const stat = statSync(name);
    // Reading a pipe would wait for ever.
    if (!stat.isFile()) throw new Error(`${name} is not a file`);
    if (stat.size > maxFile) throw new Error(`${name} is larger than ${maxFile >> 20} MB`);
    return readFileSync(name, "utf8");
  };
  return new Zone(origin, parseZoneFile(readFile(path), { file: path, origin, readFile }));
}

class FileHandler implements Handler {
  readonly name = "file";
  readonly #sources: readonly ZoneSource[];
  readonly #site: Site;
  readonly #zones = new Map<string, Zone>();
  readonly #origins: readonly string[];

  constructor(sources: readonly ZoneSource[], site: Site) {
    this.#sources = sources;
    this.#site = site;
    for (const { origin, zone } of sources) if (zone !== undefined) this.#zones.set(origin, zone);
    this.#origins = sources.map(({ origin }) => origin);
    site.onStart((signal) => {
      for (const source of sources) {
        notifySecondaries(site, source.origin);
        if (source.reload > 0) void this.#follow(source, signal);
      }
    });
  }

  serve(query: Query, next: Next): Outcome {
    const origin = longestZone(this.#origins, query.name);
    if (origin === undefined) return next(query);
    const zone = this.#zones.get(origin);
    if (zone === undefined) throw unavailable(this.name, origin);
    // There is nothing to be done about changes elsewhere: this server is where zones from files are changed.
    if (query.message.opcode === OPCODE.NOTIFY) return reply(query.message);
    const { fallthrough } = this.#sources.find((source) => source.origin === origin) ?? { fallthrough: noFallthrough };
    return serveZone(zone, query, next, fallthrough, this.#site);
  }

  transfer(origin: string, serial: number): Iterable<ResourceRecord> | undefined {
    return transferOf(this.#zones.get(origin), serial);
  }

  /** Reads the file anew when it has changed; a file with a fault leaves the zone as it was. */
  async #follow(source: ZoneSource, signal: AbortSignal): Promise<void> {
    const { path, origin, reload, byTime } = source;
    const log = this.#site.env.log.plugin("file");
    const stampOf = () => {
      const { mtimeMs = 0, size = 0, ino = 0 } = statSync(path, { throwIfNoEntry: false }) ?? {};
      return `${mtimeMs} ${size} ${ino}`;
    };
    let stamp = stampOf();
    while (await this.#site.env.clock.sleep(reload, signal)) {
      const now = stampOf();
      if (now === stamp) continue;
      stamp = now;
      try {
        const zone = readZone(source);
        const old = this.#zones.get(origin);
        if (!byTime && zone.serial === old?.serial) continue;
        this.#zones.set(origin, zone);
        log.info(`Successfully reloaded zone "${origin}" in "${path}" with ${zone.serial} SOA serial`);
        notifySecondaries(this.#site, origin);
      } catch (error) {
        const old = this.#zones.has(origin) ? `the old zone ${origin} goes on` : `there is no zone ${origin}`;
        log.error(`${old}: ${messageOf(error)}`);
      }
    }
  }
}

/** Thrown for zones that cannot be answered for now. */
export function unavailable(plugin: string, origin: string): ServeError {
  return new ServeError(RCODE.SERVFAIL, `plugin/${plugin}: zone ${origin} is not there or has expired`);
}

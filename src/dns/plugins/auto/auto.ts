/** Plugin auto: zones from all zone files of a directory, named after their files. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { Stanza } from "../../corefile/stanza.ts";
import { compilePattern, fillGroups, makePattern, type Pattern } from "../../pattern.ts";
import { messageOf } from "../../server/log.ts";
import type { Fallthrough, Handler, Next, Outcome, Plugin } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import type { Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { isWithin, longestZone, tryParseName } from "../../wire/names.ts";
import type { ResourceRecord } from "../../wire/record.ts";
import { serveZone } from "../../zone/serve.ts";
import type { Zone } from "../../zone/zone.ts";
import { readZone } from "../file/file.ts";
import { notifySecondaries, transferOf } from "../transfer/provide.ts";

/** What a directive says. */
interface Options {
  readonly zones: readonly string[];
  readonly directory: string;
  /** Files that are zone files; its groups stand in `template`. */
  readonly pattern: Pattern;
  readonly template: string;
  /** Milliseconds; 0: never. */
  readonly reload: number;
  readonly fallthrough: Fallthrough;
}

const maxDepth = 16;
const maxFiles = 100_000;

/** The plugin. */
export const auto: Plugin = {
  name: "auto",
  setup: (stanzas, site) => stanzas.map((stanza) => new Auto(parse(stanza, site), site)),
};

function parse(stanza: Stanza, site: Site): Options {
  const zones = zonesOf(stanza, stanza.args, site);
  let directory = "";
  let pattern = compilePattern("db\\.(.*)");
  let template = "{1}";
  let reload = 60_000;
  let fallthrough = noFallthrough;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "directory": {
        const [path = "", source, name] = property.expect(1, 3);
        directory = site.path(path);
        if (source === undefined) break;
        if (name === undefined) throw property.error("a pattern needs a template for the zone's name");
        pattern = makePattern(property, source);
        template = name.replace(/\$\{(\d+)\}/g, "{$1}");
        break;
      }
      case "reload":
        property.expect(1);
        reload = property.duration(0, "reload");
        break;
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      case "upstream":
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  if (directory === "") throw stanza.error("needs directory");
  return { zones, directory, pattern, template, reload, fallthrough };
}

class Auto implements Handler {
  readonly name = "auto";
  readonly #options: Options;
  readonly #site: Site;
  #zones = new Map<string, Zone>();
  #stamps = new Map<string, string>();

  constructor(options: Options, site: Site) {
    this.#options = options;
    this.#site = site;
    if (!existsSync(options.directory))
      site.env.log.plugin("auto").warn(`${options.directory} is not there: looking again and again`);
    this.#scan();
    site.onStart((signal) => {
      const follow = async () => {
        while (options.reload > 0 && (await site.env.clock.sleep(options.reload, signal))) this.#scan();
      };
      void follow();
    });
  }

  serve(query: Query, next: Next): Outcome {
    const origin = longestZone([...this.#zones.keys()], query.name);
    const zone = origin === undefined ? undefined : this.#zones.get(origin);
    if (zone === undefined) return next(query);
    return serveZone(zone, query, next, this.#options.fallthrough, this.#site);
  }

  transfer(origin: string, serial: number): Iterable<ResourceRecord> | undefined {
    return transferOf(this.#zones.get(origin), serial);
  }

  /** Reads files that are new or changed, and forgets zones whose files are gone. */
  #scan(): void {
    const { directory, zones: allowed } = this.#options;
    const log = this.#site.env.log.plugin("auto");
    const zones = new Map<string, Zone>();
    const stamps = new Map<string, string>();
    for (const path of existsSync(directory) ? filesBelow(directory) : []) {
      const origin = this.#originOf(basename(path));
      if (origin === undefined || zones.has(origin) || !allowed.some((zone) => isWithin(origin, zone))) continue;
      const old = this.#zones.get(origin);
      try {
        const { mtimeMs, size, ino } = statSync(path);
        const stamp = `${path} ${mtimeMs} ${size} ${ino}`;
        stamps.set(origin, stamp);
        if (old !== undefined && this.#stamps.get(origin) === stamp) {
          zones.set(origin, old);
          continue;
        }
        const zone = readZone({ path, origin });
        const changed = zone.serial !== old?.serial;
        zones.set(origin, changed || old === undefined ? zone : old);
        if (changed) notifySecondaries(this.#site, origin);
      } catch (error) {
        log.error(messageOf(error));
        if (old !== undefined) zones.set(origin, old);
      }
    }
    this.#zones = zones;
    this.#stamps = stamps;
  }

  #originOf(name: string): string | undefined {
    const match = this.#options.pattern.exec(name);
    if (match === null) return undefined;
    return tryParseName(fillGroups(this.#options.template, match))?.toLowerCase();
  }
}

function filesBelow(directory: string, depth = 0): readonly string[] {
  if (depth > maxDepth) return [];
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? filesBelow(path, depth + 1) : [path];
    })
    .slice(0, maxFiles);
}

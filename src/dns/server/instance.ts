/** One running configuration: the server blocks of a Corefile, set up and grouped by listen address. */
import { createHash } from "node:crypto";
import { defaultPorts, parseServerKey, type ServerKey } from "../corefile/key.ts";
import { CorefileError } from "../corefile/lexer.ts";
import { type CorefileHost, parseCorefile, type ServerBlock } from "../corefile/parser.ts";
import { RCODE } from "../wire/codes.ts";
import { Dispatcher, type Served } from "./dispatch.ts";
import { formatListen, type ListenAddress } from "./listeners/listener.ts";
import type { Wanted } from "./listeners/pool.ts";
import { messageOf } from "./log.ts";
import { type Handler, link, type PluginEntry, type Reply, ServeError } from "./plugin.ts";
import type { Query } from "./query.ts";
import type { RequestMetrics } from "./requestmetrics.ts";
import { type Corefile, type Environment, Site } from "./site.ts";

/** What a Corefile is loaded with. */
export interface LoadOptions {
  /** In the order of the chain. */
  readonly plugins: readonly PluginEntry[];
  readonly host: CorefileHost;
  readonly env: Environment;
  readonly requestMetrics: RequestMetrics;
  /** The port of plain DNS where a key names none. */
  readonly dnsPort?: number;
}

/** A Corefile's text and its path. */
export interface CorefileText {
  readonly path: string;
  readonly text: string;
}

/** A configuration that is set up: it can be started, and stopped once. */
export class Instance {
  readonly #sites: readonly Site[];
  readonly #stop = new AbortController();
  /** What it wants to serve. */
  readonly wanted: readonly Wanted[];

  private constructor(sites: readonly Site[], wanted: readonly Wanted[]) {
    this.#sites = sites;
    this.wanted = wanted;
  }

  /**
   * Parses a Corefile and sets up its plugins. Nothing is opened or started yet.
   *
   * @param read reads the Corefile again, for plugin reload.
   * @throws {CorefileError} with file and line.
   */
  static async load(source: CorefileText, read: () => CorefileText, options: LoadOptions): Promise<Instance> {
    const { plugins, host, env, dnsPort = defaultPorts.dns } = options;
    const known = new Set(plugins.map((plugin) => plugin.name));
    const parse = ({ text, path }: CorefileText) => parseCorefile(text, path, known, host);
    const blocks = parse(source);
    if (blocks.length === 0) throw new CorefileError({ file: source.path, line: 1 }, "there is no server block");
    const corefile: Corefile = { ...source, digest: digestOf(blocks), readDigest: () => digestOf(parse(read())) };
    const dispatchers = new Map<string, Dispatcher>();
    const sites: { readonly site: Site; readonly served: Served }[] = [];
    for (const block of blocks) {
      const keys = block.keys.map((key) => {
        try {
          return parseServerKey(key.text, dnsPort);
        } catch (error) {
          throw new CorefileError(key, messageOf(error));
        }
      });
      const own = () =>
        [...dispatchers].find(([address]) => addressesOf(site).some((one) => formatListen(one) === address));
      const site: Site = new Site(block, keys, corefile, env, async (query: Query): Promise<Reply> => {
        const dispatcher = own()?.[1];
        if (dispatcher === undefined) throw new ServeError(RCODE.SERVFAIL, "the server has not started");
        return dispatcher.ask(query);
      });
      site.handlers = await setUp(site, plugins);
      sites.push({ site, served: { site, next: link(site.handlers) } });
    }
    const wanted = group(sites, dispatchers, options.requestMetrics);
    return new Instance(
      sites.map(({ site }) => site),
      wanted,
    );
  }

  /** Milliseconds that it wants to go on after it was told to stop. */
  get lameduck(): number {
    return Math.max(0, ...this.#sites.map(({ settings }) => settings.lameduck));
  }

  /** Starts what the plugins have to start. If one fails, all are stopped and its error is thrown. */
  async start(): Promise<void> {
    const [first] = this.#sites;
    first?.env.log.setDebug(this.#sites.some(({ settings }) => settings.debug));
    try {
      for (const site of this.#sites) await site.start(this.#stop.signal);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Has plugin ready say that the server ends. */
  announceEnd(): void {
    for (const site of this.#sites) site.ending = true;
  }

  /** Ends everything that {@link start} began. */
  stop(): void {
    this.#stop.abort();
  }
}

/** Sets up the plugins of a block, in the order of the chain whatever their order in the file. */
async function setUp(site: Site, plugins: readonly PluginEntry[]): Promise<readonly Handler[]> {
  const handlers: Handler[] = [];
  for (const { name, load } of plugins) {
    const stanzas = site.block.stanzas.filter((stanza) => stanza.name === name);
    if (stanzas.length === 0) continue;
    const plugin = await load();
    const setup = await plugin.setup(stanzas, site);
    if (setup !== undefined) handlers.push(...("serve" in setup ? [setup] : setup));
  }
  return handlers;
}

function addressesOf({ keys, settings }: Site): readonly (ListenAddress & { readonly key: ServerKey })[] {
  const addresses = settings.bind.length === 0 ? ["::"] : settings.bind;
  return keys.flatMap((key) =>
    addresses.map((address) => ({ transport: key.transport, address, port: key.port, key })),
  );
}

/** Groups the zones of all blocks by listen address. */
function group(
  sites: readonly { readonly site: Site; readonly served: Served }[],
  dispatchers: Map<string, Dispatcher>,
  metrics: RequestMetrics,
): readonly Wanted[] {
  const groups = new Map<string, { listen: ListenAddress; site: Site; zones: Map<string, Served[]> }>();
  for (const { site, served } of sites) {
    for (const listen of addressesOf(site)) {
      const name = formatListen(listen);
      const entry = groups.get(name) ?? { listen, site, zones: new Map<string, Served[]>() };
      groups.set(name, entry);
      for (const zone of listen.key.zones) {
        const there = entry.zones.get(zone) ?? [];
        const clash = there.find((other) => other.site === site || other.site.settings.views.length === 0);
        if (clash !== undefined && (clash.site === site || site.settings.views.length === 0)) {
          const place = site.block.keys[0] ?? { file: site.corefile.path, line: 1 };
          throw new CorefileError(place, `cannot serve ${zone} at ${name}: it is already defined`);
        }
        entry.zones.set(zone, [...there, served]);
      }
    }
  }
  return [...groups].map(([name, { listen, site, zones }]) => {
    const dispatcher = new Dispatcher(name, zones, metrics, site.env.log);
    dispatchers.set(name, dispatcher);
    return { ...listen, settings: site.settings, dispatcher };
  });
}

function digestOf(blocks: readonly ServerBlock[]): string {
  const plain = JSON.stringify(blocks, (key, value: unknown) =>
    key === "line" || key === "file" || key === "startsLine" ? undefined : value,
  );
  return createHash("sha512").update(plain).digest("hex");
}

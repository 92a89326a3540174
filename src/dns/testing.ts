/** A DNS server in the process of a test: no sockets, time turned by hand, objects of a cluster from memory. */
import type { Resource } from "../kube/objects/resource.ts";
import { apiVersionOf } from "../kube/objects/resource.ts";
import type { ObjectEvent, Source, Watch } from "../kube/source.ts";
import { silentLogger } from "../telemetry/log.ts";
import { ManualClock } from "../telemetry/manualclock.ts";
import { Registry } from "../telemetry/metrics.ts";
import { plugins } from "./plugins/index.ts";
import { requestMetricsOf } from "./plugins/prometheus/prometheus.ts";
import type { Dispatcher } from "./server/dispatch.ts";
import { HttpPool } from "./server/http.ts";
import { Instance } from "./server/instance.ts";
import { formatListen } from "./server/listeners/listener.ts";
import { makeLog } from "./server/log.ts";
import { Metrics } from "./server/metrics.ts";
import type { Protocol } from "./server/query.ts";
import type { Environment } from "./server/site.ts";
import { CLASS, rcodeName, tryParseType, typeName } from "./wire/codes.ts";
import { decodeMessage, encodeCopy, type Message, makeQuery } from "./wire/message.ts";
import { parseName } from "./wire/names.ts";
import { formatRecord } from "./wire/record.ts";
import { Writer } from "./wire/writer.ts";

/** An object of the API as it stands in a manifest. */
export interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly [field: string]: unknown;
}

/** What a test server is made with. */
export interface TestServerOptions {
  /** Objects of the cluster for plugin kubernetes. */
  readonly objects?: readonly RawObject[];
  /** The path of the Corefile, for relative files and imports. */
  readonly path?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly variables?: Readonly<Record<string, string>>;
  /** Always 0.5 unless given. */
  readonly random?: () => number;
  /** Milliseconds since the epoch at which the clock starts. */
  readonly time?: number;
  /** The first list of objects is not complete before {@link MemorySource.complete}; a minute passes at the start. */
  readonly unsynced?: boolean;
  /** The Corefile as it stands now, for plugin reload, and what a reload of it comes to. */
  readonly read?: () => string;
  readonly reload?: () => boolean;
}

/** How a question is asked. */
export interface AskOptions {
  readonly protocol?: Protocol;
  readonly from?: string;
  /** The listen address, `dns://:53` unless given. */
  readonly server?: string;
  /** Changes of the query: flags, EDNS, ... */
  readonly message?: Partial<Message>;
}

/** Objects of a cluster from memory. */
export class MemorySource implements Source {
  readonly #objects = new Map<string, RawObject>();
  readonly #watches = new Set<(raw: RawObject, gone: boolean) => void>();
  readonly #completed: Promise<void>;
  /** Lets the first lists be complete, of a source that holds them back. */
  complete: () => void = () => {};

  /** @param held holds the end of the first lists back. */
  constructor(objects: readonly RawObject[] = [], held = false) {
    this.#completed = held
      ? new Promise((resolve) => {
          this.complete = resolve;
        })
      : Promise.resolve();
    for (const object of objects) this.#objects.set(keyOf(object), object);
  }

  watch<T>(watch: Watch<T>, signal: AbortSignal): void {
    const shown = new Map<string, T>();
    const show = (raw: RawObject, gone: boolean): ObjectEvent<T> | undefined => {
      if (!matches(watch, raw)) return undefined;
      const previous = shown.get(keyOf(raw));
      const projected = watch.resource.project(raw);
      if (projected.outcome === "invalid") throw new Error(projected.problems.join("; "));
      if (gone || projected.outcome === "ignored") {
        shown.delete(keyOf(raw));
        return previous === undefined ? undefined : { type: "delete", object: previous };
      }
      shown.set(keyOf(raw), projected.object);
      return { type: "upsert", object: projected.object, ...(previous !== undefined && { previous }) };
    };
    const tell = (raw: RawObject, gone: boolean) => {
      const event = show(raw, gone);
      if (event !== undefined) watch.onEvents([event]);
    };
    queueMicrotask(() => {
      if (signal.aborted) return;
      watch.onEvents([...this.#objects.values()].flatMap((raw) => show(raw, false) ?? []));
      this.#watches.add(tell);
      void this.#completed.then(() => watch.onSynced());
    });
    signal.addEventListener("abort", () => this.#watches.delete(tell));
  }

  /** Adds or changes an object. */
  apply(object: RawObject): void {
    this.#objects.set(keyOf(object), object);
    for (const tell of this.#watches) tell(object, false);
  }

  /** Removes an object. */
  remove(object: RawObject): void {
    this.#objects.delete(keyOf(object));
    for (const tell of this.#watches) tell(object, true);
  }
}

/** A server for tests. */
export interface TestServer {
  readonly clock: ManualClock;
  readonly cluster: MemorySource;
  /** Everything that was logged. */
  readonly log: readonly string[];
  /** What the program would have been ended with. */
  readonly fatal: readonly string[];
  readonly metrics: Metrics;
  readonly instance: Instance;
  /** Asks `name TYPE`; the reply as the client decodes it, undefined if none is sent. */
  ask(question: string, options?: AskOptions): Promise<Message | undefined>;
  /** Asks, and gives the reply as {@link textOf} does. */
  text(question: string, options?: AskOptions): Promise<string>;
  /** The value of a sample of the metrics, by its line up to the value; undefined if there is none. */
  metric(sample: string): number | undefined;
  stop(): void;
}

const writer = new Writer();

/** What a Corefile is set up with in tests. */
function setUp(corefile: string, options: TestServerOptions) {
  const clock = new ManualClock(options.time ?? 1_700_000_000_000);
  const cluster = new MemorySource(options.objects, options.unsynced);
  const log: string[] = [];
  const fatal: string[] = [];
  const metrics = new Metrics(new Registry());
  const env: Environment = {
    clock,
    log: makeLog((line) => log.push(line.trimEnd())),
    metrics,
    http: new HttpPool(clock, silentLogger),
    random: options.random ?? (() => 0.5),
    connect: async () => cluster,
    reload: async () => options.reload?.() ?? false,
    fatal: (message) => fatal.push(message),
  };
  const source = { path: options.path ?? "/etc/coredns/Corefile", text: corefile };
  const instance = Instance.load(source, () => ({ ...source, text: options.read?.() ?? corefile }), {
    plugins,
    env,
    requestMetrics: requestMetricsOf(metrics),
    host: {
      readFile(path) {
        const text = options.files?.[path];
        if (text === undefined) throw new Error(`${path}: no such file`);
        return text;
      },
      glob: () => [],
      env: options.variables ?? {},
      warn: (message) => log.push(message),
    },
  });
  return { clock, cluster, log, fatal, metrics, instance };
}

/**
 * Sets a Corefile up, without starting it.
 *
 * @throws {CorefileError} as loading it does.
 */
export function loadOnly(corefile: string, options: TestServerOptions = {}): Promise<Instance> {
  return setUp(corefile, options).instance;
}

/**
 * Sets up and starts a Corefile.
 *
 * @throws {CorefileError} as loading it does.
 */
export async function serve(corefile: string, options: TestServerOptions = {}): Promise<TestServer> {
  const { clock, cluster, log, fatal, metrics, instance: loading } = setUp(corefile, options);
  const instance = await loading;
  const started = instance.start();
  if (options.unsynced) await clock.pass(60_000);
  await started;
  const dispatchers = new Map<string, Dispatcher>(
    instance.wanted.map((wanted) => [formatListen(wanted), wanted.dispatcher]),
  );
  const ask = async (question: string, how: AskOptions = {}): Promise<Message | undefined> => {
    const [name = ".", type = "A"] = question.split(" ");
    const query = { ...makeQuery(4711, parseName(name), tryParseType(type) ?? 1), ...how.message };
    const dispatcher = dispatchers.get(how.server ?? "dns://:53") ?? [...dispatchers.values()][0];
    const client = {
      protocol: how.protocol ?? "udp",
      family: how.from?.includes(":") ? "IPv6" : "IPv4",
      address: how.from ?? "192.0.2.99",
      port: 40212,
      localAddress: "192.0.2.53",
      localPort: 53,
    } as const;
    return new Promise((resolve) => {
      dispatcher?.handle(encodeCopy(writer, query), client, (bytes) =>
        resolve(bytes === undefined ? undefined : decodeMessage(bytes)),
      );
    });
  };
  return {
    clock,
    cluster,
    log,
    fatal,
    metrics,
    instance,
    ask,
    text: async (question, how) => textOf(await ask(question, how)),
    metric(sample) {
      const line = metrics.registry
        .text()
        .split("\n")
        .find((one) => one.startsWith(`${sample} `));
      return line === undefined ? undefined : Number(line.slice(sample.length + 1));
    },
    stop: () => instance.stop(),
  };
}

/**
 * A reply in lines: code and flags, then the records, `name ttl type data`, those of the authority section marked with
 * `authority`, those of the additional section with `additional`. `dropped` if there is none.
 */
export function textOf(message: Message | undefined): string {
  if (message === undefined) return "dropped";
  const flags = (["aa", "tc", "ra", "ad"] as const).filter((flag) => message[flag]);
  const lines = [[rcodeName(message.rcode), ...flags].join(" ")];
  const add = (records: Message["answer"], mark: string) => {
    for (const record of records) {
      const cls = record.class === CLASS.IN ? "\tIN" : "";
      lines.push(mark + formatRecord(record).replace(cls, "").replaceAll("\t", " "));
    }
  };
  add(message.answer, "");
  add(message.authority, "authority ");
  add(message.additional, "additional ");
  return lines.join("\n");
}

/** The question of a message, as {@link TestServer.ask} takes it. */
export function questionOf({ questions: [question] }: Message): string {
  return question === undefined ? "" : `${question.name} ${typeName(question.type)}`;
}

function keyOf({ apiVersion, kind, metadata }: RawObject): string {
  return `${apiVersion} ${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
}

function matches<T>(
  { resource, selection }: { resource: Resource<T>; selection?: Watch<T>["selection"] },
  raw: RawObject,
): boolean {
  if (raw.kind !== resource.kind || raw.apiVersion !== apiVersionOf(resource)) return false;
  if (selection?.namespace !== undefined && selection.namespace !== raw.metadata.namespace) return false;
  return (selection?.labels ?? "")
    .split(",")
    .filter(Boolean)
    .every((pair) => raw.metadata.labels?.[pair.split("=")[0] ?? ""] === pair.split("=")[1]);
}

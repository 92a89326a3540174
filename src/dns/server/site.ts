/** A server block being set up: what its plugins get to know, and what they configure. */
import { isAbsolute, join } from "node:path";
import type { SecureContextOptions } from "node:tls";
import type { Source } from "../../kube/source.ts";
import type { Clock } from "../../telemetry/clock.ts";
import type { ServerKey } from "../corefile/key.ts";
import type { ServerBlock } from "../corefile/parser.ts";
import type { Message } from "../wire/message.ts";
import type { HttpPool } from "./http.ts";
import type { DnsLog } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Handler } from "./plugin.ts";
import type { Query } from "./query.ts";

/** How to reach an API server, where it is not the cluster that this runs in. */
export interface Connection {
  readonly endpoint?: string;
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
  readonly kubeconfig?: { readonly file: string; readonly context?: string };
}

/** What the server and its plugins get from outside. One for all instances that follow each other by reloading. */
export interface Environment {
  readonly clock: Clock;
  readonly log: DnsLog;
  readonly metrics: Metrics;
  readonly http: Pick<HttpPool, "route">;
  /** A number from 0 to 1, 1 excluded. */
  readonly random: () => number;
  /** Opens the source of Kubernetes objects; called at start, not at setup. */
  readonly connect: (connection: Connection, signal: AbortSignal) => Promise<Source>;
  /** Reads the Corefile again and moves over to it if it is good. */
  readonly reload: () => Promise<boolean>;
  /** Ends the program because of something that must not go on. */
  readonly fatal: (message: string) => void;
}

/** Certificates, and what is asked of clients. */
export interface TlsSettings extends SecureContextOptions {
  /** Clients are asked for a certificate; `rejectUnauthorized`: they must show one that leads to the CA. */
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  /** Clients may show no certificate, but none that leads elsewhere than to the CA. */
  readonly refuseUnverified: boolean;
}

/** What plugins configure about the listeners of a server block. */
export interface Settings {
  /** Addresses to listen on; all if empty. */
  bind: readonly string[];
  /** PEM files and trust, from plugin tls. */
  tls: TlsSettings | undefined;
  /** Milliseconds. */
  readTimeout: number;
  writeTimeout: number;
  idleTimeout: number;
  /** Queries per TCP connection; 0 for no limit. */
  maxTcpQueries: number;
  /** Sockets that share each port. */
  sockets: number;
  /** Lines of debugging are logged, for all blocks if one says so. */
  debug: boolean;
  /** Milliseconds that the server goes on after it was told to stop, from plugin health. */
  lameduck: number;
  /** Where relative paths begin; empty for the working directory. */
  root: string;
  /** Classes other than IN are served. */
  anyClass: boolean;
  /** Conditions of plugin view: all must hold for a query to be served. */
  readonly views: ((query: Query) => boolean)[];
  viewName: string;
  httpsMaxConnections: number;
  grpcMaxConnections: number;
  grpcMaxStreams: number;
}

/** The settings of a block in which no plugin configures anything. */
export function defaultSettings(): Settings {
  return {
    bind: [],
    tls: undefined,
    readTimeout: 3000,
    writeTimeout: 5000,
    idleTimeout: 10_000,
    maxTcpQueries: 0,
    sockets: 1,
    debug: false,
    lameduck: 0,
    root: "",
    anyClass: false,
    views: [],
    viewName: "",
    httpsMaxConnections: 200,
    grpcMaxConnections: 200,
    grpcMaxStreams: 256,
  };
}

/** A server block being set up. */
export class Site {
  readonly block: ServerBlock;
  readonly keys: readonly ServerKey[];
  /** The zones of all keys. */
  readonly zones: readonly string[];
  readonly env: Environment;
  readonly settings: Settings = defaultSettings();
  /** The path of the Corefile, and everything that it consists of after imports: what plugin reload watches. */
  readonly corefile: Corefile;
  /** The handlers of the block in their order; complete once all plugins are set up. */
  handlers: readonly Handler[] = [];
  /** The server was told to end, and goes on only for those who still ask. */
  ending = false;
  readonly #starts: ((signal: AbortSignal) => void | Promise<void>)[] = [];
  readonly #ask: (query: Query) => Promise<Message | undefined>;

  constructor(
    block: ServerBlock,
    keys: readonly ServerKey[],
    corefile: Corefile,
    env: Environment,
    ask: (query: Query) => Promise<Message | undefined>,
  ) {
    this.block = block;
    this.keys = keys;
    this.zones = [...new Set(keys.flatMap((key) => key.zones))];
    this.corefile = corefile;
    this.env = env;
    this.#ask = ask;
  }

  /**
   * Has something done when the instance starts: after all blocks are set up, before the first query. What it begins
   * must end with the signal, which is aborted when the instance stops. If it throws, the instance does not start.
   */
  onStart(start: (signal: AbortSignal) => void | Promise<void>): void {
    this.#starts.push(start);
  }

  /** Does what {@link onStart} was given. */
  async start(signal: AbortSignal): Promise<void> {
    for (const start of this.#starts) await start(signal);
  }

  /** Where a file of a directive is: relative paths begin at the block's root. */
  path(file: string): string {
    return isAbsolute(file) ? file : join(this.settings.root, file);
  }

  /** A handler of this block by the name of its plugin, once all are set up. */
  handler(name: string): Handler | undefined {
    return this.handlers.find((handler) => handler.name === name);
  }

  /** The handler that comes next in the chain. */
  handlerAfter(handler: Handler): Handler | undefined {
    const at = this.handlers.indexOf(handler);
    return at < 0 ? undefined : this.handlers[at + 1];
  }

  /** Asks the server itself, through the block that the new question belongs to. Undefined if the query is dropped. */
  ask(query: Query): Promise<Message | undefined> {
    return this.#ask(query);
  }
}

/** The Corefile that an instance was made from. */
export interface Corefile {
  readonly path: string;
  readonly text: string;
  /** A digest of all blocks after imports and environment, in hexadecimal. */
  readonly digest: string;
  /** Reads and parses it again; the digest of what stands there now. Throws as parsing does. */
  readonly readDigest: () => string;
}

/** A DNS server: an instance that serves, its ports, and moving over to a new Corefile. */
import { type CorefileText, Instance, type LoadOptions } from "./instance.ts";
import { ListenerPool } from "./listeners/pool.ts";
import { messageOf } from "./log.ts";

/** What a server needs. `read` gives the Corefile as it stands now. */
export interface ServerOptions extends LoadOptions {
  readonly read: () => CorefileText;
}

/** A server. While a new configuration is bad, the old one goes on. */
export class DnsServer {
  readonly #options: ServerOptions;
  readonly #pool: ListenerPool;
  #instance: Instance | undefined;
  #busy: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#pool = new ListenerPool(options.env.log, options.env.metrics);
  }

  /** The ports that are open, by kind and listen address: `udp dns://:53`. */
  get ports(): ReadonlyMap<string, number> {
    return this.#pool.ports;
  }

  /**
   * Starts serving.
   *
   * @throws {CorefileError} or a system error, if it cannot.
   */
  start(): Promise<void> {
    return this.#exclusive(() => this.#move());
  }

  /** Moves over to the Corefile as it stands now; false, with a line in the log, if that is not possible. */
  reload(): Promise<boolean> {
    return this.#exclusive(async () => {
      if (this.#stopped) return false;
      const { log } = this.#options.env;
      log.info("Reloading");
      try {
        await this.#move();
        log.info("Reloading complete");
        return true;
      } catch (error) {
        log.error(`Corefile changed but reload failed, the old one goes on: ${messageOf(error)}`);
        return false;
      }
    });
  }

  /**
   * Stops serving, after the queries that are under way.
   *
   * @param gently goes on first for the time that plugin health asks for, so that clients can look elsewhere.
   */
  stop(gently = false): Promise<void> {
    return this.#exclusive(async () => {
      this.#stopped = true;
      const lameduck = gently ? (this.#instance?.lameduck ?? 0) : 0;
      this.#instance?.announceEnd();
      if (lameduck > 0) {
        this.#options.env.log.info(`Going on for ${lameduck / 1000}s before the end`);
        await this.#options.env.clock.sleep(lameduck, new AbortController().signal);
      }
      await this.#pool.close();
      this.#instance?.stop();
      this.#instance = undefined;
    });
  }

  async #move(): Promise<void> {
    const { read } = this.#options;
    const next = await Instance.load(read(), read, this.#options);
    const listeners = await this.#pool.prepare(next.wanted);
    try {
      await next.start();
    } catch (error) {
      await listeners.abandon();
      throw error;
    }
    const old = this.#instance;
    this.#instance = next;
    await listeners.commit();
    old?.stop();
  }

  /** One start, reload or stop at a time. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(work);
    this.#busy = result.catch(() => {});
    return result;
  }
}

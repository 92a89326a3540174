/** Configuration that changes while the agent runs. */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "../telemetry/log.ts";
import type { AgentOptions } from "./config/options.ts";

/** What {@link Reloads} needs. */
export interface ReloadParts {
  /**
   * Reads and checks everything anew.
   *
   * @throws what is wrong with it.
   */
  readonly read: () => Promise<AgentOptions>;
  /** Called when a new configuration is refused. */
  readonly onRefused: (error: unknown) => void;
  readonly log: Logger;
}

/** Takes requests to read the configuration again, and hands out each one that is valid and differs. */
export class Reloads {
  readonly #parts: ReloadParts;
  #current: AgentOptions;
  /** Valid, and not handed out yet. */
  #pending: AgentOptions | undefined;
  #arrived = Promise.withResolvers<void>();
  #reading: Promise<void> = Promise.resolve();

  constructor(current: AgentOptions, parts: ReloadParts) {
    this.#current = current;
    this.#parts = parts;
  }

  /** Reads the configuration again. What is wrong with it is told, and the one in use stays. */
  request(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  /** The next configuration. */
  async next(): Promise<AgentOptions> {
    while (this.#pending === undefined) await this.#arrived.promise;
    const options = this.#pending;
    this.#pending = undefined;
    return options;
  }

  async #read(): Promise<void> {
    const { read, onRefused, log } = this.#parts;
    try {
      const options = await read();
      if (isDeepStrictEqual(options, this.#current)) {
        log.info("Configuration read again, nothing has changed");
        return;
      }
      this.#current = options;
      log.info("Configuration changed, taking it over");
      this.#pending = options;
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    } catch (error) {
      onRefused(error);
    }
  }
}

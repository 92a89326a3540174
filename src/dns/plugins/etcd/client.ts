/** Reading keys of etcd, over the JSON gateway of its gRPC API (etcd 3.4 and later). */
import { Agent, request } from "undici";

/** How to reach etcd. */
export interface EtcdOptions {
  readonly endpoints: readonly string[];
  readonly tls: { readonly cert?: string; readonly key?: string; readonly ca?: string } | undefined;
  readonly credentials: { readonly name: string; readonly password: string } | undefined;
}

/** A key with its value. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Seconds that its lease has left; undefined without one. */
  readonly left: number | undefined;
}

/** Keys that one question may give. */
const maxKeys = 10_000;
/** Milliseconds. */
const timeout = 5000;

/** Reads keys. */
export class EtcdClient {
  readonly #options: EtcdOptions;
  readonly #agent: Agent;
  #token: string | undefined;

  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#agent = new Agent({ connect: { ...options.tls }, connectTimeout: timeout });
  }

  /**
   * The value of a key, or with `prefix` those of all keys that begin with it.
   *
   * @throws if no endpoint answers.
   */
  async get(key: string, prefix: boolean): Promise<readonly KeyValue[]> {
    const start = Buffer.from(key);
    const end = Buffer.from(start);
    end[end.length - 1] = (end[end.length - 1] ?? 0) + 1;
    const range = {
      key: start.toString("base64"),
      ...(prefix && { range_end: end.toString("base64") }),
      limit: maxKeys,
    };
    const answer = await this.#ask("/v3/kv/range", range);
    const pairs: unknown = (answer as { kvs?: unknown }).kvs;
    if (!Array.isArray(pairs)) return [];
    const text = (value: unknown) => (typeof value === "string" ? Buffer.from(value, "base64").toString() : "");
    const leases = new Map<unknown, Promise<number | undefined>>();
    return Promise.all(
      pairs.map(async ({ key: k, value, lease }) => {
        if (typeof lease !== "string" || lease === "0") return { key: text(k), value: text(value), left: undefined };
        const left = leases.get(lease) ?? this.#left(lease);
        leases.set(lease, left);
        return { key: text(k), value: text(value), left: await left };
      }),
    );
  }

  /** Seconds that a lease has left; undefined if it has none, or etcd does not say. */
  async #left(lease: string): Promise<number | undefined> {
    const answer = await this.#ask("/v3/lease/timetolive", { ID: lease }).catch(() => undefined);
    const seconds = Number((answer as { TTL?: unknown } | undefined)?.TTL);
    return seconds > 0 ? seconds : undefined;
  }

  close(): void {
    void this.#agent.destroy();
  }

  async #ask(path: string, body: object): Promise<unknown> {
    let failure: unknown = new Error("no endpoint");
    for (const endpoint of this.#options.endpoints) {
      try {
        return await this.#post(endpoint, path, body);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  async #post(endpoint: string, path: string, body: object, retried = false): Promise<unknown> {
    const { credentials } = this.#options;
    if (credentials !== undefined && this.#token === undefined && path !== "/v3/auth/authenticate") {
      const answer = await this.#post(endpoint, "/v3/auth/authenticate", credentials);
      this.#token = String((answer as { token?: unknown }).token ?? "");
    }
    const { statusCode, body: reply } = await request(new URL(path, endpoint), {
      method: "POST",
      dispatcher: this.#agent,
      headers: { "content-type": "application/json", ...(this.#token !== undefined && { authorization: this.#token }) },
      body: JSON.stringify(body),
      headersTimeout: timeout,
      bodyTimeout: timeout,
    });
    const text = await reply.text();
    if (statusCode === 401 && !retried) {
      this.#token = undefined;
      return this.#post(endpoint, path, body, true);
    }
    if (statusCode !== 200) throw new Error(`etcd at ${endpoint} says ${statusCode}: ${text.slice(0, 200)}`);
    return JSON.parse(text);
  }
}

/**
 * The health-check node ports of Services of type LoadBalancer with external traffic policy Local: a load balancer asks
 * there whether this node has endpoints of the Service.
 */
import { families } from "../../net/address.ts";
import type { NodeSettings } from "../../service/settings.ts";
import type { HealthCheck } from "../../service/state.ts";
import type { Clock } from "../../telemetry/clock.ts";
import { type HttpListener, type HttpReply, listenHttp } from "../../telemetry/http.ts";
import type { Logger } from "../../telemetry/log.ts";

/** What the servers need. */
export interface ServiceHealthOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** Whether the proxy works; the state of the node does not matter. */
  readonly isHealthy: () => boolean;
  /** Called when a port could not be had; it is tried again until it can. */
  readonly onFailure: (check: HealthCheck, error: Error) => void;
}

/** The addresses to listen on: health checks of Services answer where node ports do. */
export function healthCheckHosts(settings: NodeSettings): readonly string[] {
  return families.flatMap((family): readonly string[] => {
    const where = settings.families[family]?.nodePortAddresses;
    if (where?.kind === "addresses") return where.addresses;
    return where === undefined ? [] : [family === "IPv4" ? "0.0.0.0" : "::"];
  });
}

/** The answer for a Service, as kube-proxy writes it. */
export function serviceHealthReply(check: HealthCheck, healthy: boolean): HttpReply {
  const { namespace, name, localEndpoints } = check;
  return {
    status: localEndpoints > 0 && healthy ? 200 : 503,
    headers: {
      "Content-Type": "application/json",
      "X-Content-Type-Options": "nosniff",
      "X-Load-Balancing-Endpoint-Weight": String(localEndpoints),
    },
    body: `{
\t"service": {
\t\t"namespace": ${JSON.stringify(namespace)},
\t\t"name": ${JSON.stringify(name)}
\t},
\t"localEndpoints": ${localEndpoints},
\t"serviceProxyHealthy": ${healthy}
}`,
  };
}

interface Server {
  check: HealthCheck;
  readonly listeners: Promise<readonly HttpListener[]>;
}

/** The servers that are open now. */
export class ServiceHealthServers {
  readonly #options: ServiceHealthOptions;
  readonly #servers = new Map<string, Server>();
  #hosts: readonly string[] = ["0.0.0.0"];
  #last: Promise<void> = Promise.resolve();

  constructor(options: ServiceHealthOptions) {
    this.#options = options;
  }

  /** Listens on these addresses of the node from now on. */
  setHosts(hosts: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      if (hosts.length === this.#hosts.length && hosts.every((host, i) => host === this.#hosts[i])) return;
      this.#hosts = hosts;
      const checks = new Map([...this.#servers].map(([key, { check }]) => [key, check]));
      await this.#closeAll();
      for (const [key, check] of checks) await this.#open(key, check, signal);
    });
  }

  /** Opens, changes and closes servers: health checks by Service, undefined for those that are gone. */
  apply(checks: ReadonlyMap<string, HealthCheck | undefined>, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const moved = [...checks].filter(([key, check]) => check?.port !== this.#servers.get(key)?.check.port);
      // First all that go: a port may move from one Service to another.
      await Promise.all(moved.map(([key]) => this.#close(key)));
      for (const [key, check] of checks) {
        const server = this.#servers.get(key);
        if (check === undefined) continue;
        if (server !== undefined) server.check = check;
        else await this.#open(key, check, signal);
      }
    });
  }

  /** Closes all. */
  close(): Promise<void> {
    return this.#inTurn(() => this.#closeAll());
  }

  /** One change after the other. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work);
    return this.#last;
  }

  async #closeAll(): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((key) => this.#close(key)));
  }

  async #open(key: string, check: HealthCheck, signal: AbortSignal): Promise<void> {
    const { log, clock, isHealthy, onFailure } = this.#options;
    const name = `health check of ${key}`;
    const handler = () => serviceHealthReply(this.#servers.get(key)?.check ?? check, isHealthy());
    const listen = (host: string) =>
      listenHttp({ name, host, port: check.port, ipv6Only: true, handler, log, clock, hardFail: false }, signal);
    const listeners = Promise.all(this.#hosts.map(listen));
    this.#servers.set(key, { check, listeners });
    for (const { failure } of await listeners) if (failure !== undefined) onFailure(check, failure);
  }

  async #close(key: string): Promise<void> {
    const server = this.#servers.get(key);
    this.#servers.delete(key);
    const listeners = (await server?.listeners) ?? [];
    await Promise.all(listeners.map((listener) => listener.close()));
  }
}

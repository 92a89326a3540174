/**
 * The proxy behind the rules: listeners, balancers, connections. It lives longer than one configuration, and longer
 * than the mode's use in this process: connections that it carries go on until they end.
 */
import type { Address, Family } from "../../../net/address.ts";
import type { Decision, DecisionKey, FrontEnd } from "../../../service/decision.ts";
import { Balancer, type Pool } from "./balancer.ts";
import { type Limits, limitsFor, openFilesLimit, Places } from "./limits.ts";
import { ownAddresses } from "./place.ts";
import { type Listening, throughProxy, usedPools } from "./rewrite.ts";
import { type Route, TcpListener } from "./tcp.ts";
import { UdpListener, UdpSessions } from "./udp.ts";

/** Milliseconds for which a proxy that is no longer used takes connections that were under way to it. */
const graceMs = 3000;

interface Backend {
  decision: Decision;
  readonly balancer: Balancer;
  readonly udp: Map<Pool, UdpListener>;
}

/** The running proxy, in the network namespace in which it is made. */
export class UserspaceProxy {
  readonly #backends = new Map<DecisionKey, Backend>();
  /** The TCP backends by what clients ask for. */
  readonly #routes = new Map<string, Backend>();
  /** By family and pool; opened when a service needs it first. */
  readonly #tcp = new Map<string, TcpListener>();
  readonly #connections: Places;
  readonly #udpListeners: Places;
  readonly #sessions: UdpSessions;

  constructor(limits: Limits = limitsFor(openFilesLimit())) {
    this.#connections = new Places(limits.connections);
    this.#udpListeners = new Places(limits.udpListeners);
    this.#sessions = new UdpSessions(limits.udpSessions);
  }

  /** The keys of all decisions that it serves. */
  get keys(): Iterable<DecisionKey> {
    return this.#backends.keys();
  }

  /**
   * Serves a decision from now on, beside what was served under its key before. The own address of its family must be
   * there.
   *
   * @returns the decision that the rules need. Protocols that cannot be proxied come back as they are.
   * @throws as `bind` does.
   */
  async put(key: DecisionKey, decision: Decision): Promise<Decision> {
    const { protocol } = decision.service;
    if (protocol === "SCTP") return decision;
    let backend = this.#backends.get(key);
    if (backend === undefined) {
      backend = { decision, balancer: new Balancer(decision), udp: new Map() };
      this.#backends.set(key, backend);
    }
    const { frontEnds: before } = backend.decision;
    backend.decision = { ...decision, frontEnds: [...new Set([...before, ...decision.frontEnds])] };
    backend.balancer.update(decision);
    const listening = protocol === "TCP" ? await this.#putTcp(backend) : await this.#putUdp(backend);
    return listening === undefined ? decision : throughProxy(decision, ownAddresses[decision.family], listening);
  }

  /** Forgets what is no longer so, once no rule leads to it any more. @param decision undefined: nothing is. */
  settle(key: DecisionKey, decision: Decision | undefined): void {
    const backend = this.#backends.get(key);
    if (backend === undefined) return;
    const kept = new Set(decision?.frontEnds.map((frontEnd) => routeKey(backend.decision.family, frontEnd)));
    for (const frontEnd of backend.decision.frontEnds) {
      const route = routeKey(backend.decision.family, frontEnd);
      if (!kept.has(route) && this.#routes.get(route) === backend) this.#routes.delete(route);
    }
    const used = new Set(decision === undefined ? [] : usedPools(decision));
    for (const [pool, listener] of backend.udp) {
      if (used.has(pool)) {
        listener.endStale();
        continue;
      }
      listener.close();
      backend.udp.delete(pool);
      this.#udpListeners.free();
    }
    if (decision === undefined) this.#backends.delete(key);
    else backend.decision = decision;
  }

  /**
   * Comes to an end, now that no rule leads here any more.
   *
   * @returns when the last connection has ended.
   */
  async retire(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, graceMs).unref());
    for (const key of [...this.#backends.keys()]) this.settle(key, undefined);
    await Promise.all([...this.#tcp.values()].map((listener) => listener.close()));
  }

  async #putTcp(backend: Backend): Promise<Listening> {
    const { decision } = backend;
    const listening: { -readonly [P in Pool]: Listening[P] } = { cluster: undefined, local: undefined };
    for (const pool of usedPools(decision)) listening[pool] = (await this.#tcpListener(decision.family, pool)).port;
    for (const frontEnd of decision.frontEnds) this.#routes.set(routeKey(decision.family, frontEnd), backend);
    return listening;
  }

  async #tcpListener(family: Family, pool: Pool): Promise<TcpListener> {
    const key = `${family} ${pool}`;
    let listener = this.#tcp.get(key);
    if (listener === undefined) {
      const route: Route = (address, port) => this.#route(family, address, port);
      listener = await TcpListener.open(ownAddresses[family], { pool, route, places: this.#connections });
      this.#tcp.set(key, listener);
    }
    return listener;
  }

  async #putUdp(backend: Backend): Promise<Listening | undefined> {
    const { decision, balancer, udp } = backend;
    for (const pool of usedPools(decision)) {
      if (udp.has(pool)) continue;
      if (!this.#udpListeners.take()) return undefined;
      const opening = UdpListener.open(ownAddresses[decision.family], balancer, pool, this.#sessions);
      opening.catch(() => this.#udpListeners.free());
      udp.set(pool, await opening);
    }
    return { cluster: udp.get("cluster")?.port, local: udp.get("local")?.port };
  }

  #route(family: Family, address: Address, port: number): Balancer | undefined {
    return (this.#routes.get(`${address} ${port}`) ?? this.#routes.get(`${family} ${port}`))?.balancer;
  }
}

/** Node ports are looked up by family and port, all others by address and port. */
function routeKey(family: Family, frontEnd: FrontEnd): string {
  return `${frontEnd.kind === "NodePort" ? family : frontEnd.address} ${frontEnd.port}`;
}

/** Chooses endpoints for the connections of one service port: in turn, by client, and around those that refuse. */
import type { Address } from "../../../net/address.ts";
import type { Decision, Endpoint } from "../../../service/decision.ts";

/** Which of a decision's two lists of endpoints. */
export type Pool = "cluster" | "local";

/** Milliseconds for which an endpoint that could not be reached is passed over while there are others. */
const restAfterFailure = 5000;
/** As many clients of a service port are remembered; beyond that the one that was away longest is forgotten. */
const maximumClients = 65_536;

type Choice = Pick<Decision, "cluster" | "local" | "affinitySeconds">;

/** The balancer of one service port in one family. Times are of a clock that never jumps, in milliseconds. */
export class Balancer {
  #decision: Choice;
  readonly #rounds: Record<Pool, Round>;
  /** Until when endpoints rest, by address and port. */
  readonly #resting = new Map<string, number>();
  /** Clients and their endpoints, the one that was away longest first. */
  readonly #clients = new Map<Address, { readonly endpoint: string; readonly until: number }>();

  constructor(decision: Choice) {
    this.#decision = decision;
    this.#rounds = { cluster: newRound(decision.cluster), local: newRound(decision.local) };
  }

  /** Takes over a changed decision. What is known of endpoints and clients stays. */
  update(decision: Choice): void {
    for (const pool of ["cluster", "local"] as const) {
      if (decision[pool] !== this.#decision[pool]) this.#rounds[pool] = newRound(decision[pool]);
    }
    this.#decision = decision;
    if (decision.affinitySeconds === 0) this.#clients.clear();
    const known = new Set([...decision.cluster, ...decision.local].map(endpointKey));
    for (const endpoint of this.#resting.keys()) if (!known.has(endpoint)) this.#resting.delete(endpoint);
  }

  /** True if the endpoint is in the pool. */
  has(pool: Pool, endpoint: Endpoint): boolean {
    return this.#decision[pool].some(({ address, port }) => address === endpoint.address && port === endpoint.port);
  }

  /**
   * The endpoint for a new connection of a client; undefined if there is none left.
   *
   * @param tried those that failed for this very connection, as {@link endpointKey} names them.
   */
  choose(client: Address, pool: Pool, tried: ReadonlySet<string>, now: number): Endpoint | undefined {
    const { [pool]: endpoints, affinitySeconds } = this.#decision;
    if (affinitySeconds === 0) return this.#inTurn(pool, tried, now);
    const remembered = this.#clients.get(client);
    const endpoint =
      (remembered !== undefined && remembered.until > now && !tried.has(remembered.endpoint)
        ? endpoints.find((each) => endpointKey(each) === remembered.endpoint)
        : undefined) ?? this.#inTurn(pool, tried, now);
    this.#clients.delete(client);
    if (endpoint === undefined) return undefined;
    this.#clients.set(client, { endpoint: endpointKey(endpoint), until: now + 1000 * affinitySeconds });
    const [oldest] = this.#clients.size > maximumClients ? this.#clients.keys() : [];
    if (oldest !== undefined) this.#clients.delete(oldest);
    return endpoint;
  }

  /** Takes note that an endpoint could not be reached. */
  failed(endpoint: Endpoint, now: number): void {
    this.#resting.set(endpointKey(endpoint), now + restAfterFailure);
  }

  /** The next that does not rest, or the next at all. */
  #inTurn(pool: Pool, tried: ReadonlySet<string>, now: number): Endpoint | undefined {
    const round = this.#rounds[pool];
    let found: number | undefined;
    for (const [i, endpoint] of round.order.entries()) {
      const place = (round.next + i) % round.order.length;
      const key = endpointKey(round.order[place] ?? endpoint);
      if (tried.has(key)) continue;
      const rests = (this.#resting.get(key) ?? 0) > now;
      if (!rests || found === undefined) found = place;
      if (!rests) break;
    }
    if (found === undefined) return undefined;
    const endpoint = round.order[found];
    swap(round.order, found, round.next++);
    if (round.next === round.order.length) this.#rounds[pool] = newRound(round.order);
    return endpoint;
  }
}

/** Each endpoint once, in an order that is another one in each round: clients in step with each other share fairly. */
interface Round {
  readonly order: Endpoint[];
  next: number;
}

function newRound(endpoints: readonly Endpoint[]): Round {
  const order = [...endpoints];
  for (let i = order.length - 1; i > 0; i--) swap(order, i, Math.floor(Math.random() * (i + 1)));
  return { order, next: 0 };
}

function swap(list: Endpoint[], a: number, b: number): void {
  const [first, second] = [list[a], list[b]];
  if (first === undefined || second === undefined) return;
  list[a] = second;
  list[b] = first;
}

/** What tells an endpoint from others. */
export function endpointKey({ address, port }: Pick<Endpoint, "address" | "port">): string {
  return `${address} ${port}`;
}

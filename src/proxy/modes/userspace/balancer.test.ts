import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import type { Endpoint } from "../../../service/decision.ts";
import { Balancer, endpointKey } from "./balancer.ts";

const client = parseAddress("10.0.0.1");
const other = parseAddress("10.0.0.2");
const [a, b, c] = ["10.1.0.1", "10.1.0.2", "10.1.0.3"].map(
  (address): Endpoint => ({ address: parseAddress(address), port: 80, local: false }),
) as [Endpoint, Endpoint, Endpoint];
const none: ReadonlySet<string> = new Set();

test("endpoints are taken in rounds of changing order, those of each pool for themselves", () => {
  const balancer = new Balancer({ cluster: [a, b, c], local: [b], affinitySeconds: 0 });
  const orders = new Set<string>();
  for (let round = 0; round < 200; round++) {
    const chosen = [0, 1, 2].map(() => balancer.choose(client, "cluster", none, 0));
    assert.deepEqual(new Set(chosen), new Set([a, b, c]));
    orders.add(chosen.map((endpoint) => endpoint?.address).join());
  }
  assert.equal(orders.size, 6);
  assert.equal(balancer.choose(client, "local", none, 0), b);
  assert.equal(balancer.has("local", a), false);
});

test("an endpoint that failed rests while there are others, and is tried again after five seconds", () => {
  const balancer = new Balancer({ cluster: [a, b], local: [], affinitySeconds: 0 });
  balancer.failed(a, 0);
  const chosen = Array.from({ length: 3 }, () => balancer.choose(client, "cluster", none, 4999));
  assert.deepEqual(chosen, [b, b, b]);
  assert.equal(balancer.choose(client, "cluster", new Set([endpointKey(b)]), 4999), a);
  assert.equal(balancer.choose(client, "cluster", new Set([a, b].map(endpointKey)), 4999), undefined);
  const later = [0, 1, 2, 3].map(() => balancer.choose(client, "cluster", none, 5000));
  assert.deepEqual(new Set(later), new Set([a, b]));
});

test("with affinity a client stays until it was away too long, its endpoint is gone or refuses", () => {
  const sticky = { cluster: [a, b, c], local: [], affinitySeconds: 10 };
  const balancer = new Balancer(sticky);
  const first = balancer.choose(client, "cluster", none, 0);
  assert.ok(first !== undefined);
  assert.notEqual(balancer.choose(other, "cluster", none, 0), first, "another client has its own turn");
  assert.equal(balancer.choose(client, "cluster", none, 9000), first);
  assert.equal(balancer.choose(client, "cluster", none, 18_000), first, "each connection starts the time anew");
  const second = balancer.choose(client, "cluster", new Set([endpointKey(first)]), 18_000);
  assert.notEqual(second, first);
  assert.equal(balancer.choose(client, "cluster", none, 18_000), second, "the endpoint that took over is remembered");
  balancer.update({ ...sticky, cluster: [a] });
  assert.equal(balancer.choose(client, "cluster", none, 18_000), a);
  balancer.update(sticky);
  const returned = [0, 1, 2, 3, 4, 5].map((i) => balancer.choose(other, "cluster", none, 20_000 + 10_000 * i));
  assert.deepEqual(new Set(returned), new Set([a, b, c]), "away too long: the next one");
  balancer.update({ ...sticky, cluster: [] });
  assert.equal(balancer.choose(client, "cluster", none, 30_000), undefined);
});

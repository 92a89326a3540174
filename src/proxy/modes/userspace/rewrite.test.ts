import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import type { Decision } from "../../../service/decision.ts";
import { dropAll, externalLocalOutcomes } from "../../../service/outcomes.ts";
import { throughProxy, usedPools } from "./rewrite.ts";

const proxy = parseAddress("169.254.96.96");
const endpoints = ["10.0.0.1", "10.0.0.2"].map((address) => ({
  address: parseAddress(address),
  port: 80,
  local: true,
}));
const outcomes = externalLocalOutcomes(true, { masqueradeAll: false, detector: true });
const decision: Decision = {
  service: { namespace: "shop", name: "web", port: "http", protocol: "TCP" },
  family: "IPv4",
  frontEnds: [{ kind: "NodePort", port: 30080, outcomes }],
  cluster: endpoints,
  local: endpoints.slice(0, 1),
  affinitySeconds: 60,
};

test("each pool has the proxy as its only endpoint, which sees every client as it is", () => {
  const { frontEnds, cluster, local, affinitySeconds } = throughProxy(decision, proxy, { cluster: 1001, local: 1002 });
  assert.deepEqual(cluster, [{ address: proxy, port: 1001, local: false }]);
  assert.deepEqual(local, [{ address: proxy, port: 1002, local: false }]);
  assert.equal(affinitySeconds, 0);
  assert.deepEqual(frontEnds, [
    {
      kind: "NodePort",
      port: 30080,
      outcomes: {
        pod: { kind: "balance", pool: "cluster", masquerade: false },
        node: { kind: "balance", pool: "cluster", masquerade: false },
        other: { kind: "balance", pool: "local", masquerade: false },
      },
    },
  ]);
});

test("pools without endpoints or front ends are not listened for, and drops stay drops", () => {
  assert.deepEqual(usedPools(decision), ["cluster", "local"]);
  assert.deepEqual(usedPools({ ...decision, cluster: [] }), ["local"]);
  const dropping = { ...decision, frontEnds: [{ kind: "NodePort" as const, port: 30080, outcomes: dropAll }] };
  assert.deepEqual(usedPools(dropping), []);
  const { frontEnds, cluster } = throughProxy(dropping, proxy, { cluster: undefined, local: undefined });
  assert.deepEqual(cluster, []);
  assert.deepEqual(frontEnds, dropping.frontEnds);
});

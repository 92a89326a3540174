import assert from "node:assert/strict";
import { test } from "node:test";
import { findAskingPod, resolverOf } from "./askingpod.ts";
import { MemorySource, type RawObject } from "./testing.ts";

const pod = (name: string, spec: Record<string, unknown>, podIP = "10.1.0.1"): RawObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop" },
  spec,
  status: { podIP },
});
const cluster = ["shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local."];

test("the search path and ndots of a pod follow its dnsPolicy and dnsConfig", async () => {
  const dnsConfig = {
    searches: ["Corp.example", "cluster.local"],
    options: [{ name: "edns0" }, { name: "ndots", value: "2" }],
  };
  const rows: readonly (readonly [Record<string, unknown>, unknown])[] = [
    [{}, { search: cluster, ndots: 5 }],
    [{ dnsConfig }, { search: [...cluster, "corp.example."], ndots: 2 }],
    [
      { dnsPolicy: "None", dnsConfig },
      { search: ["corp.example.", "cluster.local."], ndots: 2 },
    ],
    [{ dnsPolicy: "None" }, { search: [], ndots: 1 }],
    [
      { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" },
      { search: cluster, ndots: 5 },
    ],
    [{ hostNetwork: true }, undefined],
    [{ dnsPolicy: "Default" }, undefined],
  ];
  for (const [spec, expected] of rows) {
    const source = new MemorySource([pod("p", spec)]);
    const found = await findAskingPod(source, { namespace: "shop", name: "p" }, AbortSignal.timeout(5000));
    assert.ok(found);
    assert.equal(found.address, "10.1.0.1");
    assert.deepEqual(resolverOf(found, "cluster.local"), expected, JSON.stringify(spec));
  }
});

test("a pod that is not there is not found, one without address has none", async () => {
  const source = new MemorySource([pod("starting", {}, "")]);
  const find = (name: string) => findAskingPod(source, { namespace: "shop", name }, AbortSignal.timeout(5000));
  assert.equal((await find("starting"))?.address, undefined);
  assert.equal(
    await findAskingPod(new MemorySource(), { namespace: "shop", name: "p" }, AbortSignal.timeout(5000)),
    undefined,
  );
  const silent = new MemorySource([], true);
  await assert.rejects(
    findAskingPod(silent, { namespace: "shop", name: "p" }, AbortSignal.timeout(10)),
    /could not be read in time/,
  );
});

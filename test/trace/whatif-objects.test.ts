/** Objects that are changed only in thought: a mode writes on a copy of the rules what it writes once they are made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNamespace, listNamespaces } from "../../src/kernel/namespace.ts";
import { parseAddress } from "../../src/net/address.ts";
import { defaultConfiguration } from "../../src/proxy/config/defaults.ts";
import { policyOptions } from "../../src/proxy/config/effective.ts";
import { iptablesFactory } from "../../src/proxy/modes/iptables/index.ts";
import type { Desired } from "../../src/proxy/modes/mode.ts";
import { nftables } from "../../src/proxy/modes/nftables/index.ts";
import { resolve } from "../../src/service/resolve.ts";
import { ServiceState } from "../../src/service/state.ts";
import { capture, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type CheckedService, checkedServices, checkedSlices } from "../../src/trace/snapshot/objects.ts";
import { verify } from "../../src/trace/verify/verify.ts";
import { Cluster, type Question, walkCluster } from "../../src/trace/walk/index.ts";
import { changedCluster, formatBoth, parseChanges } from "../../src/trace/whatif/index.ts";
import { nodeBetween } from "./between.ts";
import { lockOfOurOwn } from "./support.ts";

lockOfOurOwn();
const { client: pod, node, server } = nodeBetween("whatifobjects");
enterNamespace(node.namespace);

const service = (name: string, clusterIP: string | undefined) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "shop", name, uid: name },
  spec: { clusterIP, clusterIPs: clusterIP && [clusterIP], ports: [{ port: 80, targetPort: 8080 }] },
});
const slice = (name: string, ...addresses: readonly string[]) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { namespace: "shop", name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  ports: [{ name: "", port: 8080, protocol: "TCP" }],
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
});

function objectsOf(...raw: readonly { readonly kind: string }[]): NonNullable<Snapshot["objects"]> {
  const services: CheckedService[] = [];
  const slices = [];
  for (const each of raw) {
    const { outcome, ...rest } = each.kind === "Service" ? checkedServices.project(each) : checkedSlices.project(each);
    assert.equal(outcome, "object", JSON.stringify(rest));
    assert.ok("object" in rest);
    if (rest.object.kind === "Service") services.push(rest.object);
    else slices.push(rest.object);
  }
  const addresses = ["10.1.0.1", "10.2.0.1"].map(parseAddress);
  return { services, slices, pods: [], nodes: [{ name: "node1", addresses, podCIDRs: [] }] };
}

/** As the agent makes it of the objects of an API. */
function desiredOf(mode: "nftables" | "iptables", { services, slices, nodes }: ReturnType<typeof objectsOf>): Desired {
  const { context, settings } = resolve(policyOptions(defaultConfiguration, mode), {
    name: "node1",
    zone: "",
    families: ["IPv4", "IPv6"],
    addresses: {
      node: nodes.flatMap((each) => each.addresses),
      local: ["127.0.0.1", "::1", "10.1.0.1", "10.2.0.1"].map(parseAddress),
    },
    podCIDRs: [],
    serviceCIDRs: [],
  });
  const state = new ServiceState(context);
  for (const object of [...services, ...slices]) state.apply({ type: "upsert", object });
  state.takeChanges();
  return { settings, decisions: state.decisions };
}

const question = (destination: string): Question => ({
  packet: { family: "IPv4", destination: parseAddress(destination), protocol: 6, destinationPort: 80 },
});
const endOf = ({ ends }: ReturnType<typeof walkCluster>) => ends.map(({ outcome }) => JSON.stringify(outcome)).sort();

const web = [service("web", "10.96.0.10"), slice("web", "10.2.0.2")] as const;
const empty = [service("empty", "10.96.0.12"), slice("empty", "10.2.0.2")] as const;
const gone = [service("gone", "10.96.0.13"), slice("gone", "10.2.0.2")] as const;
const moved = [service("moved", "10.96.0.14"), slice("moved", "10.2.0.2")] as const;
const shop = [service("new", "10.96.0.11"), slice("new", "10.2.0.2")] as const;
const elsewhere = (clusterIP: string | undefined) => {
  const { spec, ...rest } = service("moved", clusterIP);
  return { ...rest, spec: { ...spec, ports: [{ port: 81 }] } };
};
const before = [...web, ...empty, ...gone, ...moved];
const change = {
  apply: [...shop, slice("empty"), elsewhere(undefined)],
  delete: [{ kind: "Service", namespace: "shop", name: "gone" }],
};
const afterwards = [...web, empty[0], slice("empty"), gone[1], elsewhere("10.96.0.14"), moved[1], ...shop];
const asked = ["10.96.0.11", "10.96.0.12", "10.96.0.13", "10.96.0.14"];

for (const [name, factory] of [
  ["nftables", nftables],
  ["iptables", iptablesFactory("nft")],
] as const) {
  test(`mode ${name}: the kernel does with changed objects what was said of them`, async (context) => {
    const mode = await factory.create();
    context.after(async () => {
      mode.close();
      await factory.cleanup();
    });
    const places = async (objects: ReturnType<typeof objectsOf>) => [
      await capture(pod.namespace),
      { ...(await capture(node.namespace)), objects },
      await capture(server.namespace),
    ];
    await mode.replace(desiredOf(name, objectsOf(...before)), context.signal);
    const snapshots = await places(objectsOf(...before));
    const now = new Cluster(snapshots, 100_000);
    const rules = node.exec("nft", ["list", "ruleset"]);
    const then = await changedCluster(snapshots, now, parseChanges(JSON.stringify(change), "file"), 100_000);
    assert.equal(node.exec("nft", ["list", "ruleset"]), rules);
    assert.ok(!listNamespaces().includes(`portolan-rehearsal-${process.pid}`));
    await mode.replace(desiredOf(name, objectsOf(...afterwards)), context.signal);
    const made = await places(objectsOf(...afterwards));
    for (const address of asked) {
      const said = walkCluster(then, question(address));
      assert.match(formatBoth(walkCluster(now, question(address)), said), /The likeliest ways part/, address);
      assert.deepEqual(endOf(said), endOf(walkCluster(new Cluster(made, 100_000), question(address))), address);
      const real = await verify(() => new Cluster(made, 100_000), question(address), AbortSignal.timeout(10_000));
      assert.equal(real.comparison.kind, "agrees", address);
    }
    const unchanged = question("10.96.0.10");
    assert.deepEqual(endOf(walkCluster(then, unchanged)), endOf(walkCluster(now, unchanged)));
  });
}

test("what cannot be followed is refused", async (context) => {
  const mode = await nftables.create();
  context.after(async () => {
    mode.close();
    await nftables.cleanup();
  });
  await mode.replace(desiredOf("nftables", objectsOf(...web)), context.signal);
  const bare = await capture(node.namespace);
  const ask = async (text: string, objects?: ReturnType<typeof objectsOf>) => {
    const snapshots = [objects === undefined ? bare : { ...bare, objects }];
    await changedCluster(snapshots, new Cluster(snapshots, 100_000), parseChanges(text, "file"), 100_000);
  };
  const known = objectsOf(...web);
  const apply = (...manifests: readonly unknown[]) => JSON.stringify({ apply: manifests });
  await assert.rejects(ask(apply(...web)), /objects can be changed where the snapshot has some/);
  await assert.rejects(
    ask(apply(service("other", undefined)), known),
    /Service shop\/other: spec\.clusterIP: Required/,
  );
  await assert.rejects(ask(apply({ kind: "Service" }), known), /apply\[0\]: apiVersion: Required value/);
  await assert.rejects(
    ask(apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "a" } }), known),
    /v1 Pod: must be/,
  );
  await assert.rejects(
    ask("delete: [{kind: Service, namespace: shop, name: nothing}]", known),
    /the cluster has no Service shop\/nothing/,
  );
  await assert.rejects(ask("delete: [{kind: Pod, namespace: shop, name: web}]", known), /must be one of Service/);
  await assert.rejects(
    ask(JSON.stringify({ apply: web, proxy: { configuration: { nonsense: 1 } } }), known),
    /proxy\.configuration: .*nonsense/,
  );
  // The node serves something else than the objects say: other settings, or older objects.
  await assert.rejects(ask(apply(...shop), objectsOf(web[0])), /the rules of node1 are not those of mode nftables/);
  const foreign = {
    ...bare,
    objects: known,
    nftables: { ...bare.nftables, tables: [{ family: "ip", table: "kube-proxy" }] },
  };
  await assert.rejects(
    changedCluster(
      [foreign as Snapshot],
      new Cluster([foreign as Snapshot], 100_000),
      parseChanges(apply(...shop), "file"),
      100_000,
    ),
    /node1 is served by kube-proxy's mode nftables/,
  );
});

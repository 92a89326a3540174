import assert from "node:assert/strict";
import test from "node:test";
import { prefixContains, prefixOf } from "../../net/prefix.ts";
import { podHostOf, podPrefix } from "./addresses.ts";
import { nodeMachine, outsideMachine, podMachine, wireMachine } from "./machine.ts";
import { namespaceNames } from "./names.ts";
import { type LabSpec, makeSpec, withNode, withoutNode } from "./spec.ts";

const wishes = { name: "lab", mode: "", dualStack: false, nodes: 2, zones: [] };

test("a lab has the nodes, families and zones that were wished for", () => {
  const spec = makeSpec({ ...wishes, nodes: 3, dualStack: true, zones: ["a", "b"] });
  assert.deepEqual(spec.families, ["IPv4", "IPv6"]);
  assert.deepEqual(spec.nodes, [
    { name: "node1", index: 1, zone: "a" },
    { name: "node2", index: 2, zone: "b" },
    { name: "node3", index: 3, zone: "a" },
  ]);
});

test("wishes that cannot be are refused with the reason", () => {
  assert.throws(() => makeSpec({ ...wishes, name: "my-lab" }), /"my-lab" is not a name for a lab/);
  assert.throws(() => makeSpec({ ...wishes, nodes: 0 }), /1 to 100 nodes, not 0/);
  assert.throws(() => makeSpec({ ...wishes, nodes: 101 }), /1 to 100 nodes, not 101/);
  assert.throws(() => makeSpec({ ...wishes, zones: ["a b"] }), /"a b" is not the name of a zone/);
  assert.throws(() => makeSpec({ ...wishes, zones: ["a", "", "b"] }), /a zone has a name/);
  assert.throws(() => withNode(makeSpec(wishes), "a b"), /"a b" is not the name of a zone/);
});

test("a new node takes the first index that is free", () => {
  const spec = withNode(withoutNode(makeSpec({ ...wishes, nodes: 3 }), "node2"), "z");
  assert.deepEqual(
    spec.nodes.map(({ name }) => name),
    ["node1", "node3", "node2"],
  );
});

test("a namespace belongs to the lab whose name it bears, and to no other", () => {
  const names = namespaceNames("lab");
  for (const name of [names.wire, names.outside, names.node("node7"), names.pod("default", "web-1")]) {
    assert.ok(names.owns(name), name);
    assert.ok(!namespaceNames("la").owns(name) && !namespaceNames("labs").owns(name), name);
  }
  assert.ok(!names.owns("ptl-lab-1234-0"));
});

test("every machine of every lab has addresses, hardware addresses and ports of its own", () => {
  for (const dualStack of [false, true]) {
    const machines = machinesOf(makeSpec({ ...wishes, nodes: 100, dualStack }));
    const links = machines.flatMap(({ links }) => links);
    const unique = (values: readonly string[]) => assert.equal(new Set(values).size, values.length);
    unique(machines.map(({ namespace }) => namespace));
    unique(links.flatMap(({ addresses }) => addresses.map(({ address }) => address)));
    unique(links.map(({ mac }) => mac));
    unique(links.flatMap(({ port }) => (port === undefined ? [] : [`${port.namespace} ${port.name}`])));
    for (const { name } of links) assert.ok(name.length <= 15, name);
  }
});

test("every gateway is on a link of its machine", () => {
  for (const { namespace, links, routes } of machinesOf(makeSpec({ ...wishes, nodes: 3, dualStack: true }))) {
    const own = links.flatMap(({ addresses }) => addresses.map(({ address, length }) => `${address}/${length}`));
    for (const { gateway, destination } of routes) {
      const near = links.some(({ addresses }) =>
        addresses.some(({ address, length }) => prefixContains(prefixOf(address, length), gateway)),
      );
      assert.ok(near, `${namespace}: ${destination} via ${gateway}, with ${own}`);
    }
  }
});

test("a node knows the way to every pod but its own", () => {
  const spec = makeSpec({ ...wishes, nodes: 3 });
  const [first] = spec.nodes;
  assert.ok(first);
  const destinations = nodeMachine(spec, first).routes.map(({ destination }) => String(destination));
  assert.deepEqual(destinations, ["10.244.2.0/24", "10.244.3.0/24", "0.0.0.0/0"]);
});

test("the host part of a pod's address is read back, for its node alone", () => {
  assert.equal(podHostOf("10.244.3.17", 3), 17);
  assert.equal(podHostOf("10.244.3.17", 4), undefined);
  assert.equal(podHostOf("10.244.13.17", 3), undefined);
  assert.equal(podPrefix("IPv6", 16), "fd00:10:244:10::/64");
});

function machinesOf(spec: LabSpec) {
  return [
    wireMachine(spec),
    outsideMachine(spec),
    ...spec.nodes.flatMap((node) => [
      nodeMachine(spec, node),
      podMachine(spec, node, { namespace: "default", name: `a-${node.index}`, host: 2 }),
      podMachine(spec, node, { namespace: "default", name: `b-${node.index}`, host: 254 }),
    ]),
  ];
}

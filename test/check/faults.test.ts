/** Every fault that a lab can be broken with is found, on the nodes that have it and by the check that is about it. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findFaults } from "../../src/check/check.ts";
import { Facts } from "../../src/check/facts.ts";
import { lookInside } from "../../src/check/gather.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { findCluster } from "../../src/kube/kubeconfig.ts";
import { faults } from "../../src/lab/faults/index.ts";
import { capture, formatSnapshot, parseSnapshot } from "../../src/trace/snapshot/index.ts";
import { readObjects } from "../../src/trace/snapshot/readobjects.ts";
import { eventually, TestLab } from "../lab/testlab.ts";

const lab = new TestLab();
const manifest = new URL("../../examples/lab/hello.yaml", import.meta.url).pathname;
const program = new URL("../../portolan", import.meta.url).pathname;
const kubeconfig = () => lab.env.KUBECONFIG ?? "";
let client: KubeClient;

before(async () => {
  await lab.lab("up");
  await lab.kubectl("apply", "-f", manifest);
  await lab.kubectl("scale", "deployment", "hello", "--replicas=4");
  await lab.kubectl("rollout", "status", "deployment/hello", "--timeout=20s");
  client = new KubeClient(findCluster({ kubeconfig: kubeconfig() }));
});
after(async () => {
  await client?.destroy();
  await lab.remove();
});

/** What is found on both nodes: `node1 check`, each once. */
async function found(): Promise<readonly string[]> {
  const names = new Set<string>();
  for (const node of ["node1", "node2"]) {
    const cluster = await readObjects(client, AbortSignal.timeout(10_000));
    // Through the document, as snapshots of others come.
    const snapshot = parseSnapshot(formatSnapshot(await capture(lab.namespace(node))), node);
    const facts = new Facts(snapshot, { cluster, insides: lookInside(snapshot, lab.namespace(node)) });
    for (const { check } of findFaults(facts)) names.add(`${node} ${check}`);
  }
  return [...names].sort();
}

const expected: Readonly<Record<string, readonly string[]>> = {
  "wrong-selector": ["node1 no-endpoints", "node2 no-endpoints"],
  "local-without-endpoints": ["node1 local-traffic"],
  "wrong-cluster-cidr": ["node1 cluster-cidr"],
  "flushed-rules": ["node1 proxy-rules"],
  "stale-udp-conntrack": ["node1 stale-conntrack"],
  "hairpin-off": ["node1 hairpin", "node2 hairpin"],
  "bridge-nf-off": ["node1 bridge-netfilter", "node2 bridge-netfilter"],
  "ip-forward-off": ["node1 ip-forward"],
  "forward-drop": ["node1 forward-drop"],
  "second-chain-drops": ["node1 forward-drop"],
  "legacy-rules": ["node1 forward-drop"],
  "rp-filter": ["node1 reverse-path"],
  mtu: ["node2 mtu"],
  "stale-route": ["node1 stale-route"],
  "stale-neighbour": ["node1 stale-neighbour"],
  // Last, for pods that just became ready are left alone.
  "wrong-target-port": ["node1 target-port", "node2 target-port"],
};

test("every fault is looked for here", () => {
  assert.deepEqual(Object.keys(expected).sort(), faults.map(({ name }) => name).sort());
});

for (const [fault, wanted] of Object.entries(expected)) {
  test(`fault ${fault} is found, and nothing before and after`, async () => {
    const as = (value: readonly string[]) => (names: readonly string[]) => names.join() === value.join();
    await eventually(`${fault}: nothing at first`, found, as([]));
    await lab.lab("break", fault);
    await eventually(`${fault}: found`, found, as(wanted));
    await lab.lab("repair");
    await eventually(`${fault}: nothing again`, found, as([]));
  });
}

/** Rules that somebody writes by hand on the first node, and what is found then on both. */
const handmade: readonly (readonly [what: string, rule: string, wanted: readonly string[]])[] = [
  ["masquerades all", "-t nat -A POSTROUTING -o eth0 -j MASQUERADE", ["node1 source-address"]],
  ["keeps packets from the connection tracker", "-t raw -A PREROUTING -j NOTRACK", ["node1 proxy-rules"]],
  ["clears the proxy's mark", "-t mangle -A FORWARD -j MARK --set-mark 0x1", ["node1 mark-bits"]],
  [
    "sets the proxy's mark",
    "-t mangle -A PREROUTING -p tcp -j MARK --set-mark 0x4000",
    ["node1 mark-bits", "node1 source-address"],
  ],
];

for (const [what, rule, wanted] of handmade) {
  test(`a rule that ${what} is found`, async () => {
    const change = (words: string) =>
      lab.run(["ip", "netns", "exec", lab.namespace("node1"), "iptables", ...words.split(" ")]);
    assert.equal((await change(rule)).code, 0);
    try {
      assert.deepEqual(await found(), wanted);
    } finally {
      await change(rule.replace("-A", "-D"));
    }
    assert.deepEqual(await found(), []);
  });
}

/** Runs `portolan check` on the first node. */
function check(...args: readonly string[]) {
  return lab.run([program, "check", "--namespace", lab.namespace("node1"), "--kubeconfig", kubeconfig(), ...args]);
}

test("the program says what it found, as text and as JSON, and by its status", async () => {
  const healthy = await check();
  assert.deepEqual([healthy.code, healthy.err], [0, ""]);
  assert.match(healthy.out, /: nothing found\n$/);
  await lab.lab("break", "ip-forward-off");
  try {
    const { code, out } = await check();
    assert.equal(code, 3);
    assert.match(
      out,
      /^ERROR net\.ipv4\.ip_forward\n {4}net\.ipv4\.ip_forward is 0: [\s\S]*Do: turn it on[\s\S]*\n {8}sysctl -w net\.ipv4\.ip_forward=1\n/,
    );
    const json = await check("-o", "json");
    assert.equal(json.code, 3);
    const { findings, lookedAt } = JSON.parse(json.out);
    assert.deepEqual(
      findings.map((each: { readonly check: string; readonly severity: string }) => [each.check, each.severity]),
      [["ip-forward", "error"]],
    );
    assert.equal(lookedAt.objects, true);
    assert.ok(lookedAt.podNamespaces >= 2);
  } finally {
    await lab.lab("repair");
  }
});

test("an API server that does not answer does not keep the node from being looked at", async () => {
  const away = `${lab.folder}/away.kubeconfig`;
  writeFileSync(away, readFileSync(kubeconfig(), "utf8").replace(/127\.0\.0\.1:\d+/, "127.0.0.1:1"));
  const look = (...more: readonly string[]) => check("--kubeconfig", away, ...more);
  const healthy = await look();
  assert.deepEqual([healthy.code, healthy.out], [1, `${lab.namespace("node1")}: nothing found\n`]);
  assert.match(healthy.err, /^The cluster's objects cannot be read.*ECONNREFUSED 127\.0\.0\.1:1\n$/);
  await lab.lab("break", "ip-forward-off");
  try {
    const { code, out } = await look("-o", "json");
    assert.equal(code, 3);
    const { findings, lookedAt } = JSON.parse(out);
    assert.deepEqual([findings.length, findings[0].check, lookedAt.objects], [1, "ip-forward", false]);
    assert.match(lookedAt.missing.join(), /^objects of the cluster: /);
  } finally {
    await lab.lab("repair");
  }
});

test("all nodes of a lab are looked at, each with a last line of its own", async () => {
  await lab.lab("break", "mtu");
  try {
    const { code, out } = await lab.run([program, "check", "--lab", lab.name]);
    assert.equal(code, 3);
    assert.match(out, /^\S+-node1: nothing found\nWARNING link eth0\n[\s\S]*\n\S+-node2: 1 warning\n$/);
  } finally {
    await lab.lab("repair");
  }
  const { code, err } = await lab.run([program, "check", "--lab", lab.name, "--watch"]);
  assert.equal(code, 2);
  assert.match(err, /--watch needs one node, such as --namespace ptl-/);
});

test("a machine that is none of the cluster's nodes is told of", async () => {
  const argv = [program, "check", "--namespace", `ptl-${lab.name}-outside`, "--kubeconfig", kubeconfig()];
  const { code, err } = await lab.run(argv);
  assert.equal(code, 0);
  assert.match(err, /^This machine has an address of none of the cluster's nodes, node1 \(172\.20\.0\.11/);
});

test("a namespace that is not there is named", async () => {
  const { code, err } = await lab.run([program, "check", "--namespace", "ptl-nobody"]);
  assert.equal(code, 1);
  assert.equal(err, 'Error: there is no network namespace "ptl-nobody": "ip netns" lists those that there are\n');
});

test("a Service whose Deployment is scaled to 0 is a note, and no fault", async () => {
  await lab.kubectl("scale", "deployment", "hello", "--replicas=0");
  try {
    await eventually(
      "the note",
      async () => {
        const { code, out } = await check();
        return code === 0 && /^NOTE service default\/hello\n[\s\S]*Deployment hello is scaled to 0/.test(out);
      },
      (seen) => seen,
    );
  } finally {
    await lab.kubectl("scale", "deployment", "hello", "--replicas=4");
    await lab.kubectl("rollout", "status", "deployment/hello", "--timeout=20s");
  }
});

test("a snapshot in a file is looked at as the node itself, and one that is none is refused", async () => {
  const file = `${lab.folder}/node1.json.gz`;
  await lab.lab("break", "forward-drop");
  const { code } = await lab.run([program, "snapshot", "--namespace", lab.namespace("node1"), "-o", file]);
  await lab.lab("repair");
  assert.equal(code, 0);
  const looked = await lab.run([program, "check", "--snapshot", file]);
  assert.equal(looked.code, 3);
  assert.match(looked.out, /^ERROR nftables table ip filter, chain FORWARD\n/);
  const refused = await lab.run([program, "check", "--snapshot", manifest]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /hello\.yaml: not a snapshot, or cut off/);
});

test("snapshots of several nodes are compared: links of one network whose MTUs differ are found", async () => {
  const files = ["node1", "node2"].map((node) => `${lab.folder}/${node}-mtu.json.gz`);
  await lab.lab("break", "mtu");
  for (const [i, file] of files.entries()) {
    const argv = [program, "snapshot", "--namespace", lab.namespace(`node${i + 1}`), "-o", file];
    assert.equal((await lab.run(argv)).code, 0);
  }
  await lab.lab("repair");
  const { code, out } = await lab.run([program, "check", "--snapshot", files.join(",")]);
  assert.equal(code, 3);
  assert.match(out, /WARNING link eth0 among nodes\n[\s\S]*node2[\s\S]*WARNING link eth0\n/);
});

test("with --watch what comes and goes is printed, once each", async () => {
  const argv = [program, "check", "--namespace", lab.namespace("node1"), "--kubeconfig", kubeconfig()];
  const child = lab.start([...argv, "--watch", "--interval", "200ms", "-o", "json"]);
  const lines: { readonly change: string; readonly check: string }[] = [];
  child.stdout?.on("data", (text) => {
    for (const line of String(text).trim().split("\n")) lines.push(JSON.parse(line));
  });
  const changes = () => lines.map((line) => `${line.change} ${line.check}`).join();
  await sleep(1000);
  await lab.lab("break", "hairpin-off");
  await eventually("the fault is printed", changes, (text) => text === "found hairpin");
  await lab.lab("repair");
  await eventually("its end is printed", changes, (text) => text === "found hairpin,gone hairpin");
  child.kill("SIGINT");
});

/** Every fault of a lab is named by the trace that somebody would ask for, and a whole lab has nothing to name. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults } from "../../src/lab/faults/index.ts";
import type { Explanation } from "../../src/trace/explain/index.ts";
import { eventually, TestLab } from "../lab/testlab.ts";

const program = new URL("../../portolan", import.meta.url).pathname;
const manifest = new URL("../../examples/lab/hello.yaml", import.meta.url).pathname;
const lab = new TestLab();
/** A pod of each node. */
let [pod1, pod2] = ["", ""];

before(async () => {
  await lab.lab("up");
  await lab.kubectl("apply", "-f", manifest);
  await lab.kubectl("scale", "deployment", "hello", "--replicas=4");
  await lab.kubectl("rollout", "status", "deployment/hello", "--timeout=20s");
  const list = await lab.field("pods", "range .items[*]}{.spec.nodeName} {.metadata.name}{'\\n'}{end");
  const pods = list
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  const podOf = (node: string) => `default/${pods.find(([name]) => name === node)?.[1]}`;
  [pod1, pod2] = [podOf("node1"), podOf("node2")];
});
after(() => lab.remove());

/** What a trace says, in short. */
interface Told {
  readonly summary: string;
  readonly status: number;
  /** Causes and warnings, the former with what to do. */
  readonly said: readonly string[];
  readonly remedies: number;
}

async function trace(...args: readonly string[]): Promise<Told> {
  const { code, out, err } = await lab.run([program, "trace", "--lab", lab.name, "-o", "json", ...args]);
  assert.notEqual(out, "", `trace ${args.join(" ")}: ${err}`);
  const { summary, explanation } = JSON.parse(out) as { summary: string; explanation: Explanation };
  const all = [...explanation.causes, ...explanation.warnings];
  return {
    summary,
    status: code,
    said: all.map(({ text }) => text),
    remedies: all.filter(({ remedy }) => remedy !== undefined).length,
  };
}

interface Expected {
  /** FROM and TO, and flags. */
  readonly ask: () => readonly string[] | Promise<readonly string[]>;
  readonly summary: string;
  readonly status: number;
  readonly reason: RegExp;
  /** False where there is nothing to ask once it is repaired. */
  readonly whole?: false;
}

const service = () => [pod1, "hello-node:http"];
const across = () => [pod1, `${pod2}:8080`];

const expected: Readonly<Record<string, Expected>> = {
  "wrong-selector": { ask: service, summary: "rejected", status: 10, reason: /no pod .* labels of its selector/ },
  "wrong-target-port": {
    ask: service,
    summary: "no socket",
    status: 13,
    reason: /targetPort 9999\), and nobody listens/,
  },
  "local-without-endpoints": {
    ask: async () => ["outside", `node1:${await lab.field("service fault-local", ".spec.ports[0].nodePort")}`],
    summary: "dropped",
    status: 11,
    reason: /externalTrafficPolicy Local, and none of its endpoints is on node1 \(they are on node2\)/,
    whole: false,
  },
  "wrong-cluster-cidr": { ask: service, summary: "delivered", status: 0, reason: /proxy of node1 .*\(clusterCIDR\)/ },
  "flushed-rules": {
    ask: service,
    summary: "no route",
    status: 12,
    reason: /no rule of node1 turns .* of its 4 endpoints/,
  },
  "stale-udp-conntrack": {
    ask: () => ["--source-port", "5000", "outside", "node1:30090/udp"],
    summary: "no neighbour",
    status: 16,
    reason: /tracker of node1 remembers the UDP connection .* no endpoint of service default\/hello-node any more/,
  },
  "hairpin-off": {
    ask: service,
    summary: "mixed",
    status: 20,
    reason: /by which it came in, and that port's hairpin mode is off/,
  },
  "bridge-nf-off": { ask: service, summary: "mixed", status: 20, reason: /bridge-nf-call-iptables is not 1/ },
  "ip-forward-off": { ask: across, summary: "forwarding off", status: 15, reason: /node1 does not forward/ },
  "forward-drop": {
    ask: across,
    summary: "dropped",
    status: 11,
    reason: /node1 drops it: policy of ip filter FORWARD/,
  },
  "second-chain-drops": { ask: across, summary: "dropped", status: 11, reason: /inet site_firewall forward rule 1/ },
  "legacy-rules": { ask: across, summary: "dropped", status: 11, reason: /iptables-legacy filter FORWARD rule 1/ },
  "rp-filter": {
    ask: () => ["outside", "node1:30080"],
    summary: "martian",
    status: 14,
    reason: /rp_filter is 1, and the way back to 172\.20\.0\.2 is by eth1, not by eth0/,
  },
  mtu: {
    ask: () => ["--size", "1500", "outside", `${pod2}:8080`],
    summary: "too long",
    status: 18,
    reason: /node2 eth0 takes 1280: it is dropped there, and nobody is told/,
  },
  "stale-route": {
    ask: across,
    summary: "no neighbour",
    status: 16,
    reason: /172\.20\.0\.250.* route to 10\.244\.2\.0\/24 on node1/,
  },
  "stale-neighbour": {
    ask: across,
    summary: "no neighbour",
    status: 16,
    reason: /permanent neighbour entry for 172\.20\.0\.12/,
  },
};

test("every fault is asked about", () => {
  assert.deepEqual(Object.keys(expected).sort(), faults.map(({ name }) => name).sort());
});

const isWhole = ({ summary, status, said }: Told) => summary === "delivered" && status === 0 && said.length === 0;

for (const [name, { ask, summary, status, reason, whole }] of Object.entries(expected)) {
  test(`the trace names fault ${name}, and nothing once it is repaired`, async () => {
    const asking = async () => trace(...(await ask()));
    if (whole !== false) await eventually(`${name}: whole at first`, asking, isWhole);
    await lab.lab("break", name);
    const told = await eventually(`${name}: named`, asking, ({ said }) => said.some((text) => reason.test(text)));
    assert.equal(told.summary, summary);
    assert.equal(told.status, status);
    assert.equal(told.remedies, told.said.length, "each has something to do");
    await lab.lab("repair");
    if (whole !== false) await eventually(`${name}: whole again`, asking, isWhole);
  });
}

test("a mismatch of MTUs, and a client that is stuck, are warned of without asking for them", async () => {
  await lab.lab("break", "mtu");
  const long = await eventually(
    "the mismatch",
    () => trace("outside", `${pod2}:8080`),
    ({ said }) => said.length > 0,
  );
  assert.equal(long.summary, "delivered");
  assert.match(long.said.join(), /packets of more than 1280 bytes vanish at node2 eth0/);
  await lab.lab("repair");
  await lab.lab("break", "stale-udp-conntrack");
  const stuck = await eventually(
    "the client",
    () => trace("outside", "node1:30090/udp"),
    ({ said }) => said.length > 0,
  );
  assert.equal(stuck.summary, "delivered");
  assert.match(stuck.said.join(), /clients that keep their source port may be stuck: .* 172\.20\.0\.2:5000 /);
  await lab.lab("repair");
});

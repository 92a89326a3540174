/** Every fault shows what it says, and is gone when it is repaired. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults } from "../../src/lab/faults/index.ts";
import { eventually, TestLab } from "./testlab.ts";

const lab = new TestLab();
const manifest = new URL("../../examples/lab/hello.yaml", import.meta.url).pathname;
/** The cluster IP of Service hello-node, and URLs of its node port at both nodes. */
let cluster = "";
const [first, second] = ["http://172.20.0.11:30080/", "http://172.20.0.12:30080/"];
/** The place of a pod of the first node, and the address of one of the second. */
let [pod1, address2] = ["", ""];
/** Those of the answers that are failures. */
const failures = (answers: readonly string[]) => answers.filter((answer) => answer.startsWith("curl"));
const [refused, silence] = ["curl: 7", "curl: 28"];

before(async () => {
  await lab.lab("up");
  await lab.kubectl("apply", "-f", manifest);
  await lab.kubectl("scale", "deployment", "hello", "--replicas=4");
  await lab.kubectl("rollout", "status", "deployment/hello", "--timeout=20s");
  cluster = `http://${await lab.field("service hello-node", ".spec.clusterIP")}/`;
  const list = (
    await lab.field("pods", "range .items[*]}{.spec.nodeName} {.metadata.name} {.status.podIP}{'\\n'}{end")
  ).trim();
  const pods = list.split("\n").map((line) => line.split(" "));
  pod1 = `default/${pods.find(([node]) => node === "node1")?.[1]}`;
  const other = pods.find(([node]) => node === "node2");
  address2 = other?.[2] ?? "";
});
after(() => lab.remove());

/** What is seen of each fault, and what is right again when it is repaired. */
const seen: Readonly<
  Record<string, { readonly look: () => Promise<unknown>; readonly broken: unknown; readonly whole: unknown }>
> = {
  "wrong-selector": {
    look: async () => failures(await lab.answers(pod1, `${cluster}hostname`)),
    broken: [refused],
    whole: [],
  },
  "wrong-target-port": {
    look: async () => failures(await lab.answers(pod1, `${cluster}hostname`)),
    broken: [refused],
    whole: [],
  },
  "local-without-endpoints": {
    look: async () => {
      const port = await lab.field("service fault-local", ".spec.ports[0].nodePort", "--ignore-not-found");
      if (port === "") return "no such Service";
      return [
        await lab.get("outside", `http://172.20.0.11:${port}/hostname`),
        await lab.get("outside", `http://172.20.0.12:${port}/hostname`),
      ];
    },
    broken: [silence, "fault-local"],
    whole: "no such Service",
  },
  "wrong-cluster-cidr": {
    look: async () => {
      const own = await lab.field(`pod ${pod1.split("/")[1]}`, ".status.podIP");
      const clients = (await lab.answers(pod1, `${cluster}clientip`)).map((answer) => answer.replace(/:\d+$/, ""));
      return clients.includes(own);
    },
    broken: false,
    whole: true,
  },
  "flushed-rules": {
    look: async () => failures(await lab.answers(pod1, `${cluster}hostname`, 3)).length > 0,
    broken: true,
    whole: false,
  },
  "stale-udp-conntrack": {
    look: async () => [
      await lab.udp("outside", "172.20.0.11", 30090, "echo x", 5000),
      await lab.udp("outside", "172.20.0.11", 30090, "echo x"),
    ],
    broken: ["", "x"],
    whole: ["x", "x"],
  },
  "hairpin-off": {
    look: async () => {
      const self = pod1.split("/")[1] ?? "";
      const answers = await lab.answers(pod1, `${cluster}hostname`, 30);
      return { self: answers.includes(self), others: answers.length > 1, failures: failures(answers) };
    },
    broken: { self: false, others: true, failures: [silence] },
    whole: { self: true, others: true, failures: [] },
  },
  "bridge-nf-off": {
    look: async () => {
      const answers = await lab.answers(pod1, `${cluster}hostname`, 30);
      return { failures: failures(answers), others: answers.some((answer) => answer.startsWith("hello-")) };
    },
    broken: { failures: [silence], others: true },
    whole: { failures: [], others: true },
  },
  "ip-forward-off": {
    look: async () => [
      await lab.get(pod1, `http://${address2}:8080/healthz`),
      await lab.get("node1", `http://${address2}:8080/healthz`),
    ],
    broken: [silence, "ok\n"],
    whole: ["ok\n", "ok\n"],
  },
  "forward-drop": {
    look: async () => [
      await lab.get(pod1, `http://${address2}:8080/healthz`),
      await lab.get("node1", `http://${address2}:8080/healthz`),
    ],
    broken: [silence, "ok\n"],
    whole: ["ok\n", "ok\n"],
  },
  "second-chain-drops": {
    look: () => lab.get(pod1, `http://${address2}:8080/healthz`),
    broken: silence,
    whole: "ok\n",
  },
  "legacy-rules": {
    look: async () => [
      await lab.get(pod1, `http://${address2}:8080/healthz`),
      (await lab.at("node1", "nft", "list", "chain", "ip", "filter", "FORWARD")).out.includes("drop"),
    ],
    broken: [silence, false],
    whole: ["ok\n", false],
  },
  "rp-filter": {
    look: async () => [
      failures(await lab.answers("outside", `${first}hostname`, 3)),
      failures(await lab.answers("outside", `${second}hostname`, 3)),
    ],
    broken: [[silence], []],
    whole: [[], []],
  },
  mtu: {
    look: async () => {
      const url = `http://${address2}:8080/echo`;
      const long = await lab.get("outside", url, "--data-binary", "x".repeat(20_000));
      return [await lab.get("outside", url, "-d", "x"), long.length];
    },
    broken: ["x", silence.length],
    whole: ["x", 20_000],
  },
  "stale-route": {
    look: async () => {
      const answer = await lab.get("node1", `http://${address2}:8080/healthz`);
      return [answer === "ok\n", await lab.get("outside", `http://${address2}:8080/healthz`)];
    },
    broken: [false, "ok\n"],
    whole: [true, "ok\n"],
  },
  "stale-neighbour": {
    look: async () => [
      await lab.get("node1", `http://${address2}:8080/healthz`),
      await lab.get("outside", `http://${address2}:8080/healthz`),
    ],
    broken: [silence, "ok\n"],
    whole: ["ok\n", "ok\n"],
  },
};

test("every fault is tried here", () => {
  assert.deepEqual(Object.keys(seen).sort(), faults.map(({ name }) => name).sort());
});

test("a lab is not broken twice in the same way", async () => {
  await lab.lab("break", "ip-forward-off");
  const { code, err } = await lab.try("break", "ip-forward-off");
  assert.equal(code, 1);
  assert.match(err, /has fault ip-forward-off already: repair it first/);
  assert.match((await lab.try("repair")).err, /Repaired: ip-forward-off/);
  assert.match((await lab.try("repair")).err, /Nothing was broken/);
  assert.match((await lab.try("break", "hairpin-of")).err, /did you mean hairpin-off\?/);
});

test("faults of Services say how to come by one that is not there", async () => {
  for (const command of [["break", "wrong-selector"], ["quiz"]] as const) {
    const { code, err } = await lab.try(command[0], ...command.slice(1), "--service", "shop/none");
    assert.equal(code, 1);
    assert.match(err, /there is no Service shop\/none: name another with --service, or make the example's with/);
  }
  assert.equal((await lab.try("break", "wrong-selector", "--service", "a/b/c")).code, 2);
});

test("what somebody repaired by hand is repaired", async () => {
  const byHand = {
    "legacy-rules": ["iptables-legacy", "-D", "FORWARD", "-p", "tcp", "-j", "DROP"],
    "second-chain-drops": ["nft", "delete", "table", "inet", "site_firewall"],
    "stale-neighbour": ["ip", "neigh", "del", "172.20.0.12", "dev", "eth0"],
  };
  for (const [name, argv] of Object.entries(byHand)) {
    await lab.lab("break", name);
    const { code, err } = await lab.at("node1", ...argv);
    assert.equal(code, 0, err);
  }
  await lab.lab("break", "local-without-endpoints");
  await lab.kubectl("delete", "service/fault-local", "pod/fault-local", "--grace-period=0", "--force");
  assert.equal((await lab.try("repair")).code, 0);
  assert.match((await lab.try("repair")).err, /Nothing was broken/);
});

for (const [name, { look, broken, whole }] of Object.entries(seen)) {
  test(`fault ${name} shows, and is repaired`, async () => {
    const as = (wanted: unknown) => (value: unknown) => JSON.stringify(value) === JSON.stringify(wanted);
    await eventually(`${name}: whole at first`, look, as(whole));
    await lab.lab("break", name);
    await eventually(`${name}: broken`, look, as(broken));
    assert.match((await lab.try("repair")).err, new RegExp(`Repaired: ${name}`));
    await eventually(`${name}: whole again`, look, as(whole));
  });
}

test("faults of nodes end with them, and those of objects outlive the lab's end", async () => {
  await lab.lab("break", "wrong-selector");
  await lab.lab("break", "legacy-rules");
  await lab.lab("break", "bridge-nf-off");
  await lab.lab("node", "stop", "node1");
  assert.match((await lab.try("repair", "legacy-rules")).err, /Repaired: legacy-rules/);
  await lab.lab("down");
  await lab.lab("up");
  assert.match((await lab.try("repair")).err, /Repaired: wrong-selector\n/);
  assert.match((await lab.try("repair")).err, /Nothing was broken/);
  assert.equal(await lab.field("service hello-node", ".spec.selector"), '{"app":"hello"}');
});

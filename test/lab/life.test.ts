/** How labs, nodes and pods begin, end, crash and come back. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { processesInside, processStart } from "../../src/kernel/programs.ts";
import { reachInto } from "./reach.ts";
import { eventually, TestLab } from "./testlab.ts";

const lab = new TestLab();
before(async () => {
  await lab.lab("up");
});
after(() => lab.remove());

interface Status {
  readonly phase: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly state: string;
    readonly mode: string;
    readonly proxyPid?: number;
  }[];
}

const status = async (of = lab) => JSON.parse(await of.lab("status", "-o", "json")) as Status;
const container = (name: string) => `.status.containerStatuses[?(@.name=="${name}")]`;

async function run(name: string, spec: object): Promise<void> {
  const containers = { containers: [{ name: "main", image: "x", ...spec }] };
  const { restartPolicy, terminationGracePeriodSeconds, initContainers } = spec as { [key: string]: unknown };
  const podSpec = { ...containers, restartPolicy, terminationGracePeriodSeconds, initContainers };
  await lab.apply(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec: clean(podSpec) }));
}

/** Without what belongs to the pod, not to its container. */
function clean(spec: { readonly containers: readonly object[] }): object {
  const own = ["restartPolicy", "terminationGracePeriodSeconds", "initContainers"];
  const containers = spec.containers.map((one) =>
    Object.fromEntries(Object.entries(one).filter(([key]) => !own.includes(key))),
  );
  return { ...spec, containers };
}

describe("pods", { concurrency: 3 }, () => {
  test("a pod's command is a program of this machine, in a place of its own", async () => {
    const script = "hostname; cat /etc/resolv.conf; echo $GREETING $POD_IP; exec sleep 1000";
    const env = [
      { name: "GREETING", value: "hello" },
      { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    ];
    await run("program", { command: ["sh", "-c", script], env });
    await lab.kubectl("wait", "--for=condition=Ready", "pod/program", "--timeout=10s");
    const address = await lab.field("pod program", ".status.podIP");
    const log = await eventually(
      "it has said it all",
      () => lab.lab("logs", "program"),
      (text) => text.includes("hello"),
    );
    assert.match(log, /^program\n/);
    assert.match(log, /^nameserver 10\.96\.0\.10$/m);
    assert.ok(log.includes(`hello ${address}`), log);
    assert.equal((await lab.try("exec", "program", "--", "sh", "-c", "hostname; exit 7")).out, "program\n");
    assert.equal((await lab.try("exec", "program", "--", "sh", "-c", "exit 7")).code, 7);
    assert.equal(await lab.kubectl("logs", "program"), log);
    assert.equal(await lab.kubectl("exec", "program", "--", "hostname"), "program\n");
    assert.equal((await lab.run(["kubectl", "exec", "-i", "program", "--", "cat"], "said\n")).out, "said\n");
    await lab.kubectl("delete", "pod", "program", "--grace-period=1");
    assert.ok(!lab.namespaces().includes(lab.namespace("default/program")));
  });

  test("kubectl reaches into pods: a terminal that changes its size, ports, files, and what was said before", async () => {
    const script = "echo first; test -e $MARK || { touch $MARK; exit 1; }; exec sleep 1000";
    const env = [{ name: "MARK", value: join(lab.folder, "started-before") }];
    await run("reached", { command: ["sh", "-c", script], env });
    await eventually(
      "it was started again",
      () => lab.field("pod reached", `${container("main")}.restartCount`),
      (count) => count === "1",
    );
    // It is counted when the first one has ended, a moment before the second one begins.
    await lab.kubectl("wait", "--for=condition=Ready", "pod/reached", "--timeout=10s");
    await reachInto(lab, "reached", "kubectl");
    await lab.kubectl("delete", "pod", "reached", "--grace-period=1");
  });

  test("what ends is started again, or not, as restartPolicy says", async () => {
    await run("never", { command: ["sh", "-c", "seq 20000; exit 3"], restartPolicy: "Never" });
    await run("done", { command: ["true"], restartPolicy: "OnFailure" });
    await run("always", { command: ["sh", "-c", "exit 4"] });
    const isIn = (pod: string, phase: string) =>
      eventually(
        `pod ${pod} is ${phase}`,
        () => lab.field(`pod ${pod}`, ".status.phase"),
        (now) => now === phase,
      );
    await isIn("never", "Failed");
    assert.match(await lab.kubectl("logs", "never"), /^1\n.*\n20000\n$/s, "its log is whole when it has ended");
    await isIn("done", "Succeeded");
    assert.equal(await lab.field("pod never", `${container("main")}.state.terminated.exitCode`), "3");
    await eventually(
      "it restarts",
      () => lab.field("pod always", `${container("main")}.restartCount`),
      (count) => Number(count) >= 2,
    );
    assert.equal(await lab.field("pod always", `${container("main")}.lastState.terminated.exitCode`), "4");
    await lab.kubectl("delete", "pod", "never", "done", "always", "--grace-period=1");
  });

  test("init containers run before, one after the other", async () => {
    const file = join(lab.folder, "order");
    const step = (name: string) => ({ name, image: "x", command: ["sh", "-c", `echo ${name} >> ${file}`] });
    await run("init", {
      command: ["sh", "-c", `echo main >> ${file}; exec sleep 1000`],
      initContainers: [step("one"), step("two")],
      terminationGracePeriodSeconds: 1,
    });
    await lab.kubectl("wait", "--for=condition=Ready", "pod/init", "--timeout=10s");
    await eventually(
      "all have written",
      () => readFileSync(file, "utf8"),
      (text) => text === "one\ntwo\nmain\n",
    );
    await lab.kubectl("delete", "pod", "init");
  });

  test("a pod that fails its liveness probe is started again, and one that fails its readiness probe is not ready", async () => {
    const probe = (path: string) => ({ httpGet: { path, port: 8080 }, periodSeconds: 1, failureThreshold: 1 });
    await run("probed", {
      ports: [{ containerPort: 8080 }],
      livenessProbe: probe("/healthz"),
      readinessProbe: probe("/readyz"),
      env: [{ name: "SHUTDOWN_DELAY", value: "0" }],
    });
    await lab.kubectl("wait", "--for=condition=Ready", "pod/probed", "--timeout=10s");
    const address = await lab.field("pod probed", ".status.podIP");
    await lab.get("node1", `http://${address}:8080/readyz?set=false`);
    await lab.kubectl("wait", "--for=condition=Ready=false", "pod/probed", "--timeout=10s");
    await lab.get("node1", `http://${address}:8080/readyz?set=true`);
    await lab.kubectl("wait", "--for=condition=Ready", "pod/probed", "--timeout=10s");
    await lab.get("node1", `http://${address}:8080/healthz?set=false`);
    await eventually(
      "it restarts",
      () => lab.field("pod probed", `${container("main")}.restartCount`),
      (count) => count === "1",
    );
    assert.equal(await lab.field("pod probed", ".status.podIP"), address);
    await lab.kubectl("delete", "pod", "probed");
  });

  test("a pod has what its manifest asks for: entries of other objects, sidecars, hooks, a gRPC server's word", async () => {
    const said = join(lab.folder, "said");
    const say = (what: string) => ["sh", "-c", `echo ${what} >> ${said}; exec sleep 1000`];
    const server = `require("http2").createServer().on("stream", (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from(require("fs").existsSync("${said}.well") ? "00000000020801" : "00000000020802", "hex"));
    }).listen(9999)`;
    await run("asking", {
      command: [process.execPath, "-e", server],
      env: [{ name: "COLOR", valueFrom: { configMapKeyRef: { name: "paint", key: "color" } } }],
      lifecycle: { postStart: { exec: { command: ["sh", "-c", `echo started $COLOR >> ${said}`] } } },
      readinessProbe: { grpc: { port: 9999 }, periodSeconds: 1 },
      initContainers: [
        {
          name: "side",
          image: "x",
          restartPolicy: "Always",
          command: say("side"),
          startupProbe: { exec: { command: ["test", "-e", said] }, periodSeconds: 1 },
        },
        { name: "step", image: "x", command: ["sh", "-c", `echo step >> ${said}`] },
      ],
      terminationGracePeriodSeconds: 1,
    });
    await eventually(
      "it waits for the object that it needs",
      () => lab.field("pod asking", `${container("main")}.state.waiting.message`),
      (message) => message === 'configmap "paint" not found',
    );
    await lab.kubectl("create", "configmap", "paint", "--from-literal=color=blue");
    await eventually(
      "it runs, and is not well",
      () => lab.field("events", ".items[*].message", "--field-selector", "involvedObject.name=asking"),
      (events) => events.includes("Started container main"),
    );
    assert.equal(await lab.field("pod asking", `${container("main")}.ready`), "false");
    writeFileSync(`${said}.well`, "");
    await lab.kubectl("wait", "--for=condition=Ready", "pod/asking", "--timeout=10s");
    assert.equal(readFileSync(said, "utf8"), "side\nstep\nstarted blue\n");
    assert.equal(await lab.kubectl("exec", "asking", "-c", "main", "--", "sh", "-c", "echo $COLOR"), "blue\n");
    await lab.kubectl("delete", "pod/asking", "configmap/paint");
  });

  test("before a pod ends its hook runs, then it is asked, then it is killed when its time is over", async () => {
    const file = join(lab.folder, "ending");
    const script = `trap "echo term >> ${file}" TERM; while :; do sleep 0.05; done`;
    const preStop = { exec: { command: ["sh", "-c", `echo hook >> ${file}`] } };
    await run("stubborn", { command: ["sh", "-c", script], lifecycle: { preStop }, terminationGracePeriodSeconds: 1 });
    await lab.kubectl("wait", "--for=condition=Ready", "pod/stubborn", "--timeout=10s");
    const began = Date.now();
    await lab.kubectl("delete", "pod", "stubborn");
    assert.equal(readFileSync(file, "utf8"), "hook\nterm\n");
    assert.ok(Date.now() - began >= 900, "it had its second");
  });
});

test("nodes come and go, and pods with them", async () => {
  await lab.kubectl("create", "deployment", "spread", "--image=x", "--port=8080", "--replicas=4");
  await lab.kubectl("expose", "deployment", "spread", "--port=80", "--target-port=8080");
  await lab.kubectl("rollout", "status", "deployment/spread", "--timeout=10s");
  const url = `http://${await lab.field("service spread", ".spec.clusterIP")}/nodename`;
  const isAnswer = (...wanted: readonly string[]) =>
    eventually(
      `answered by ${wanted}`,
      () => lab.answers("node1", url),
      (found) => String(found) === String(wanted),
    );
  assert.equal(await lab.lab("node", "add", "--zone", "far"), "node3\n");
  await lab.kubectl("scale", "deployment", "spread", "--replicas=6");
  await isAnswer("node1", "node2", "node3");
  await lab.lab("node", "stop", "node2");
  await isAnswer("node1", "node3");
  assert.equal(await lab.field("node node2", '.status.conditions[?(@.type=="Ready")].status'), "Unknown");
  assert.equal((await status()).nodes.find(({ name }) => name === "node2")?.state, "stopped");
  assert.match((await lab.try("exec", "node2", "--", "true")).err, /node2 is switched off: .*node start node2.* first/);
  assert.notEqual(await lab.lab("logs", "node2"), "");
  await lab.lab("node", "start", "node2");
  await isAnswer("node1", "node2", "node3");
  await lab.lab("node", "remove", "node3");
  await lab.kubectl("rollout", "status", "deployment/spread", "--timeout=10s");
  await isAnswer("node1", "node2");
  assert.match(await lab.kubectl("get", "nodes", "-o", "name"), /^node\/node1\nnode\/node2\n$/);
  assert.ok(!lab.namespaces().some((name) => name.endsWith("node3")));
});

test("what cannot be written down is not done", async () => {
  const notes = [join(lab.folder, "lab.json.new"), join(lab.folder, "fault.json.new")];
  // No file can be made where a folder is.
  for (const path of notes) mkdirSync(path);
  assert.match((await lab.try("node", "add")).err, /no lab can be kept there \(EISDIR/);
  assert.match((await lab.try("break", "ip-forward-off")).err, /no lab can be kept there \(EISDIR/);
  for (const path of notes) rmSync(path, { recursive: true });
  assert.equal((await lab.at("node1", "cat", "/proc/sys/net/ipv4/ip_forward")).out, "1\n");
  assert.equal(await lab.lab("node", "add"), "node3\n");
  await lab.lab("node", "remove", "node3");
  assert.deepEqual(
    (await status()).nodes.map(({ name }) => name),
    ["node1", "node2"],
  );
});

test("a second up changes nothing", async () => {
  const before = await status();
  assert.match((await lab.try("up")).err, /runs already/);
  assert.deepEqual(
    (await status()).nodes.map(({ proxyPid }) => proxyPid),
    before.nodes.map(({ proxyPid }) => proxyPid),
  );
});

test("a supervisor that is killed leaves nothing that up does not mend, and objects and stopped nodes are as they were", async () => {
  const before = await lab.field("pods", "range .items[*]}{.metadata.name} {.status.podIP}{'\\n'}{end");
  await lab.lab("node", "stop", "node2");
  const { pid } = JSON.parse(readFileSync(join(lab.folder, "supervisor.json"), "utf8")) as { readonly pid: number };
  const proxies = (await status()).nodes.flatMap(({ proxyPid }) => proxyPid ?? []);
  process.kill(pid, "SIGKILL");
  await eventually(
    "it is dead",
    () => processStart(pid),
    (start) => start === undefined,
  );
  await lab.lab("up");
  for (const proxy of proxies) assert.equal(processStart(proxy), undefined, `the old proxy ${proxy} is gone`);
  assert.equal(await lab.field("pods", "range .items[*]}{.metadata.name} {.status.podIP}{'\\n'}{end"), before);
  const url = `http://${await lab.field("service spread", ".spec.clusterIP")}/nodename`;
  const isAnswer = (wanted: string) =>
    eventually(
      `answered by ${wanted}`,
      () => lab.answers("node1", url),
      (found) => String(found) === wanted,
    );
  await isAnswer("node1");
  assert.equal((await status()).nodes.find(({ name }) => name === "node2")?.state, "stopped");
  await lab.lab("node", "start", "node2");
  await isAnswer("node1,node2");
});

test("down leaves no namespace and no process", async () => {
  const namespaces = lab.namespaces();
  const pids = processesInside(namespaces);
  assert.ok(pids.length > 0);
  await lab.lab("down");
  assert.deepEqual(lab.namespaces(), []);
  for (const pid of pids) assert.equal(processStart(pid), undefined);
  assert.equal((await lab.try("status")).code, 1);
  assert.match((await lab.try("exec", "node1", "--", "true")).err, /does not run: start it with portolan lab up/);
});

test("of two that start a lab at once, both get the same, with everything that it had", async () => {
  const ended = await Promise.all([lab.try("up"), lab.try("up"), lab.try("up")]);
  assert.deepEqual(
    ended.map(({ code }) => code),
    [0, 0, 0],
    ended.map(({ err }) => err).join(""),
  );
  assert.ok((await status()).nodes.every(({ mode }) => mode !== ""));
  await lab.kubectl("wait", "--for=condition=Available", "deployment/spread", "--timeout=10s");
});

test("the wire can be made lossy and slow, for one node or all, and whole again", async () => {
  const port = await eventually(
    "a node port",
    async () => {
      await lab.kubectl("patch", "service", "spread", "-p", '{"spec":{"type":"NodePort"}}');
      return lab.field("service spread", ".spec.ports[0].nodePort");
    },
    (found) => found !== "",
  );
  const url = (node: string) => `http://${node}:${port}/clientip`;
  await lab.lab("netem", "--loss", "100", "--node", "node2");
  assert.equal(await lab.get("outside", url("172.20.0.12")), "curl: 28");
  await lab.lab("netem");
  await eventually(
    "it answers",
    () => lab.answers("outside", url("172.20.0.12")),
    (found) => found.every((answer) => !answer.startsWith("curl")),
  );
  const took = async () => {
    const start = performance.now();
    assert.doesNotMatch(await lab.get("outside", url("172.20.0.12")), /^curl/);
    return performance.now() - start;
  };
  await lab.lab("netem", "--delay", "50ms", "--node", "outside");
  const slow = await took();
  assert.ok(slow >= 190, `a connection and a request go back and forth twice, in ${slow} ms`);
  await lab.lab("netem");
  assert.ok((await took()) < slow);
  assert.match((await lab.try("netem", "--loss", "101")).err, /--loss must be 0 to 100/);
  assert.match(
    (await lab.try("netem", "--loss", "1", "--node", "node7")).err,
    /there is no node7 on the wire: there are/,
  );
});

test("names are resolved in pods, as the cluster's DNS knows them", async () => {
  await lab.kubectl("run", "asker", "--image=x");
  await lab.kubectl("wait", "--for=condition=Ready", "pod/asker", "--timeout=10s");
  const address = await lab.field("service spread", ".spec.clusterIP");
  const lookup = async (name: string) =>
    (await lab.try("exec", "asker", "--", "getent", "hosts", name)).out.split(" ")[0];
  await eventually(
    "a Service",
    () => lookup("spread"),
    (found) => found === address,
  );
  assert.equal(await lookup("kubernetes.default"), "10.96.0.1");
  assert.equal(await lookup("nobody.example"), "");
});

test("a crash is swept up by down too, and a lab comes back with other nodes if one wants it", async () => {
  const { pid } = JSON.parse(readFileSync(join(lab.folder, "supervisor.json"), "utf8")) as { readonly pid: number };
  process.kill(pid, "SIGKILL");
  await eventually(
    "the crash is told",
    async () => (await lab.try("status")).err,
    (text) => /is down, by a crash: portolan lab up --name \w+ brings it back/.test(text),
  );
  await lab.lab("down");
  assert.deepEqual(lab.namespaces(), []);
  assert.match((await lab.try("status")).err, /is down\n$/);
  await lab.lab("up", "--nodes", "1");
  assert.equal(await lab.kubectl("get", "nodes", "-o", "name"), "node/node1\n");
  await lab.kubectl("rollout", "status", "deployment/spread", "--timeout=10s");
  const nodes = await lab.field("pods", "range .items[*]}{.spec.nodeName} {end", "-l", "app=spread");
  assert.deepEqual([...new Set(nodes.trim().split(" "))], ["node1"]);
  await lab.lab("down");
  assert.match((await lab.try("up", "--dual-stack")).err, /has the address families that it was made with/);
});

test("two labs run side by side, dual-stack if one wants it, and reset forgets", async () => {
  const other = new TestLab();
  try {
    await Promise.all([lab.lab("up", "--nodes", "2"), other.lab("up", "--dual-stack", "--nodes", "1")]);
    await other.kubectl("run", "six", "--image=x", "--port=8080");
    await other.kubectl("wait", "--for=condition=Ready", "pod/six", "--timeout=10s");
    assert.match(await other.field("pod six", ".status.podIPs[*].ip"), /^10\.244\.1\.(\d+) fd00:10:244:1::\1$/);
    await other.kubectl(
      "expose",
      "pod",
      "six",
      "--port=80",
      "--target-port=8080",
      "--overrides",
      '{"apiVersion":"v1","spec":{"ipFamilyPolicy":"RequireDualStack"}}',
    );
    for (const ip of (await other.field("service six", ".spec.clusterIPs[*]")).split(" ")) {
      const url = `http://${ip.includes(":") ? `[${ip}]` : ip}/hostname`;
      await eventually(
        url,
        () => other.answers("node1", url),
        (found) => String(found) === "six",
      );
    }
    assert.equal((await lab.run(["kubectl", "get", "pod", "six"])).code, 1);
  } finally {
    await other.remove();
  }
  assert.ok(!existsSync(other.folder));
  assert.equal((await status()).phase, "ready");
});

test("what makes no sense is refused with the reason", async () => {
  for (const [args, message] of [
    [["up", "--nodes", "9"], /runs already.*\n.*left as it is, not as the flags ask/],
    [["mode", "magic"], /name one mode/],
    [["node", "stop", "node9"], /there is no node node9: there are node1, node2/],
    [["exec", "nobody", "--", "true"], /there is no "nobody" in lab/],
    [["exec", "node1"], /say what to run, after --/],
    [["exec", "node1", "ip", "address"], /put -- before what is to be run: node1 -- ip address/],
    [["node", "add", "--zone", "a b"], /"a b" is not the name of a zone/],
    [["logs", "outside"], /outside has no log/],
    [["stauts"], /did you mean status\?/],
  ] as const) {
    const [command, ...rest] = args;
    assert.match((await lab.try(command, ...rest)).err, message);
  }
  const { err } = await lab.run([
    "env",
    "PORTOLAN_IPTABLES=none",
    lab.program,
    "lab",
    "mode",
    "iptables",
    "--name",
    lab.name,
  ]);
  assert.match(err, /mode iptables cannot be used here: PORTOLAN_IPTABLES/);
  assert.doesNotMatch((await lab.try("up", "--nodes", "2")).err, /not as the flags ask/);
  const bad = await lab.run([lab.program, "lab", "up", "--name", "Not-Good"]);
  assert.equal(bad.code, 2);
  assert.match(bad.err, /not a name for a lab/);
});

/** kubectl logs, exec, attach and port-forward, through a way to the pods that runs programs of this machine in their place. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import type { PodAccess } from "../../src/kube/server/http/podaccess.ts";
import { eventually, newestKubectl, send, startCluster, withoutKubectl } from "./cluster.ts";

/** The two ways in which kubectl speaks to pods: WebSockets, which it uses from 1.30 (1.31) on, and SPDY. */
const ways = {
  WebSockets: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "true", KUBECTL_PORT_FORWARD_WEBSOCKETS: "true" },
  SPDY: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "false", KUBECTL_PORT_FORWARD_WEBSOCKETS: "false" },
} as const;

const access: PodAccess = {
  async *logs({ container, follow, previous, timestamps, since }) {
    if (previous) throw new Error("it was never restarted");
    const times = `with times from ${Math.round((Date.now() - since) / 1000)} seconds ago\n`;
    yield timestamps ? times : `one\ntwo\nthree of ${container}\n`;
    if (!follow) return;
    for (const line of ["four\n", "five\n"]) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      yield line;
    }
  },
  attach({ stdin: wantsInput }) {
    const child = spawn("sh", ["-c", "echo four; cat; echo five"], { stdio: "pipe" });
    const exit = once(child, "close").then(() => 0);
    const { stdin, stdout, stderr } = child;
    if (!wantsInput) stdin.end();
    return { stdout, stderr, exit, kill: () => child.kill("SIGKILL"), ...(wantsInput && { stdin }) };
  },
  exec({ command, pod }) {
    const [program = "", ...args] = command;
    if (program === "forbidden") throw new Error("there is no such program in the pod");
    const child = spawn(program, args, { stdio: "pipe", env: { ...process.env, POD: pod.metadata.name } });
    const exit = once(child, "close").then(([code]) => Number(code ?? 137));
    return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, exit, kill: () => child.kill("SIGKILL") };
  },
  async connect(_, port) {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  },
};

const [newest, version] = newestKubectl();

/** Why kubectl cannot be tried in a way; false if it can. */
function withoutWay(way: string): string | false {
  if (withoutKubectl !== false || way !== "WebSockets" || version >= 31) return withoutKubectl;
  return `kubectl 1.${version} does not speak over WebSockets, kubectl 1.31 does`;
}

test("kubectl reads logs: whole, the last lines, and as they grow", { skip: withoutKubectl }, async (t) => {
  const { kubectl, tryKubectl } = await startCluster(t, { pods: access });
  await kubectl(["run", "web", "--image=web"]);
  await kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"]);
  assert.equal(await kubectl(["logs", "web"]), "one\ntwo\nthree of web\n");
  assert.equal(await kubectl(["logs", "web", "--tail=1"]), "three of web\n");
  assert.equal(await kubectl(["logs", "web", "--tail=0"]), "");
  assert.equal(await kubectl(["logs", "web", "--limit-bytes=6"]), "one\ntw");
  const timed = await kubectl(["logs", "web", "--timestamps", "--since=60s", "--tail=1"]);
  assert.match(timed, /^with times from (59|60) seconds ago\n$/);
  const at = new Date(Date.now() - 30_000).toISOString();
  assert.match(await kubectl(["logs", "web", "--timestamps", `--since-time=${at}`, "--tail=1"]), /from (29|30|31) s/);
  assert.equal(await kubectl(["logs", "web", "--follow", "--tail=1"]), "three of web\nfour\nfive\n");
  const spec = { initContainers: [{ name: "first", image: "i" }], containers: [{ name: "c", image: "i" }] };
  await kubectl(
    ["apply", "-f", "-"],
    JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "two" }, spec }),
  );
  await kubectl(["wait", "--for=condition=Ready", "pod/two", "--timeout=20s"]);
  assert.match(await kubectl(["logs", "two", "-c", "first"]), /three of first/);
  assert.match((await tryKubectl(["logs", "web", "-c", "other"])).stderr, /container other is not valid for pod web/);
  assert.match((await tryKubectl(["logs", "web", "--previous"])).stderr, /it was never restarted/);
});

for (const [way, env] of Object.entries(ways)) {
  test(`kubectl runs commands in pods over ${way}: output, input, exit status`, {
    skip: withoutWay(way),
  }, async (t) => {
    const { kubectl, tryKubectl } = await startCluster(t, { pods: access, program: newest });
    await kubectl(["run", "web", "--image=web"]);
    await kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"]);
    const exec = (args: readonly string[], input = "") => tryKubectl(["exec", ...args], input, env);
    const plain = await exec(["web", "--", "sh", "-c", "echo in $POD; echo oops >&2"]);
    assert.deepEqual(plain, { code: 0, stdout: "in web\n", stderr: "oops\n" });
    const text = "line\n".repeat(100_000);
    const echoed = await exec(["-i", "web", "--", "cat"], text);
    assert.equal(echoed.code, 0, echoed.stderr);
    assert.equal(echoed.stdout.length, text.length);
    const slow = await exec(["-i", "web", "--", "sh", "-c", "sleep 0.3; wc -c"], text);
    assert.equal(slow.stdout.trim(), String(text.length), "a program that reads late gets everything");
    assert.match((await exec(["web", "--", "sh", "-c", "exit 7"])).stderr, /exit code 7/);
    const attached = await tryKubectl(["attach", "web"], "", env);
    assert.deepEqual([attached.code, attached.stdout], [0, "four\nfive\n"], "what is said from then on");
    const spoken = await tryKubectl(["attach", "-i", "web"], "said\n", env);
    assert.deepEqual([spoken.code, spoken.stdout], [0, "four\nsaid\nfive\n"], "what is said is heard");
    if (way === "SPDY") return;
    assert.match((await exec(["web", "--", "forbidden"])).stderr, /no such program in the pod/);
    assert.match((await exec(["none", "--", "true"])).stderr, /pods "none" not found/);
  });

  test(`kubectl forwards ports over ${way}: several connections at a time, and errors of one of them`, {
    skip: withoutWay(way),
  }, async (t) => {
    const cluster = await startCluster(t, { pods: access, nodes: ["node-a"] });
    await cluster.kubectl(["run", "web", "--image=web"]);
    await cluster.kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"]);
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    t.after(() => echo.close());
    const { port } = echo.address() as AddressInfo;
    const args = ["port-forward", "pod/web", `:${port}`, ":1", "--address=127.0.0.1"];
    const child = spawn(newest, args, {
      env: { PATH: process.env.PATH, HOME: "/nonexistent", KUBECONFIG: cluster.server.kubeconfig, ...env },
    });
    t.after(() => child.kill("SIGKILL"));
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes: Buffer) => {
        output += bytes.toString();
      });
    await eventually("kubectl listens", () => output.split("Forwarding from").length === 3);
    const [good = 0, bad = 0] = [...output.matchAll(/127\.0\.0\.1:(\d+) -> (\d+)/g)].map((match) => Number(match[1]));
    const through = async (text: string) => {
      const socket = connect(good, "127.0.0.1");
      socket.end(text);
      let back = 0;
      for await (const bytes of socket) back += (bytes as Buffer).length;
      return back;
    };
    const sizes = [1, 100, 70_000, 1_000_000];
    assert.deepEqual(await Promise.all(sizes.map((size) => through("x".repeat(size)))), sizes);
    const refused = connect(bad, "127.0.0.1");
    refused.on("error", () => undefined).resume();
    refused.write("x");
    await once(refused, "close");
    await eventually("kubectl says why", () => /ECONNREFUSED/.test(output));
  });
}

test("a server that stops ends the ports that are forwarded", { skip: withoutKubectl }, async (t) => {
  const { kubectl, server } = await startCluster(t, { pods: access, nodes: ["node-a"] });
  await kubectl(["run", "web", "--image=web"]);
  await kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"]);
  const child = spawn(newest, ["port-forward", "pod/web", ":80", "--address=127.0.0.1"], {
    env: { PATH: process.env.PATH, HOME: "/nonexistent", KUBECONFIG: server.kubeconfig },
  });
  t.after(() => child.kill("SIGKILL"));
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  assert.match(String(said), /Forwarding from/);
  let stopped = false;
  void server.stop().then(() => {
    stopped = true;
  });
  await eventually("it has stopped", () => stopped, 5);
});

test("commands need the token, a WebSocket and a pod", async (t) => {
  const { server, request } = await startCluster(t, { pods: access, nodes: [] });
  const path = "/api/v1/namespaces/default/pods/web/exec?command=true";
  const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
  assert.equal((await send(server, "GET", path, undefined, upgrade)).status, 401);
  assert.equal(
    (await request("GET", path, undefined, { ...upgrade, "sec-websocket-protocol": "v5.channel.k8s.io" })).status,
    404,
  );
  assert.equal((await request("GET", path, undefined, upgrade)).status, 400);
  assert.equal((await request("GET", path, undefined, { ...upgrade, upgrade: "SPDY/3.1" })).status, 400);
  assert.equal((await request("GET", path, undefined, { ...upgrade, upgrade: "h2c" })).status, 400);
  assert.equal((await request("GET", "/version", undefined, upgrade)).status, 404);
});

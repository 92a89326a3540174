/** kubectl logs and exec, through a way to the pods that runs programs of this machine in their place. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import type { PodAccess } from "../../src/kube/server/http/podaccess.ts";
import { kubectlPrograms, send, startCluster, withoutKubectl } from "./cluster.ts";

/** Fits kubectl to its job: WebSockets are the way of exec from 1.30 on; 1.29 is asked to. */
const modern = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "true" };

const access: PodAccess = {
  async *logs({ container, follow, previous }) {
    if (previous) throw new Error("it was never restarted");
    yield `one\ntwo\nthree of ${container}\n`;
    if (!follow) return;
    for (const line of ["four\n", "five\n"]) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      yield line;
    }
  },
  exec({ command, pod }) {
    const [program = "", ...args] = command;
    if (program === "forbidden") throw new Error("there is no such program in the pod");
    const child = spawn(program, args, { stdio: "pipe", env: { ...process.env, POD: pod.metadata.name } });
    const exit = once(child, "close").then(([code]) => Number(code ?? 137));
    return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, exit, kill: () => child.kill("SIGKILL") };
  },
};

test("kubectl reads logs: whole, the last lines, and as they grow", { skip: withoutKubectl }, async (t) => {
  const { kubectl, tryKubectl } = await startCluster(t, { pods: access });
  await kubectl(["run", "web", "--image=web"]);
  await kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"]);
  assert.equal(await kubectl(["logs", "web"]), "one\ntwo\nthree of web\n");
  assert.equal(await kubectl(["logs", "web", "--tail=1"]), "three of web\n");
  assert.equal(await kubectl(["logs", "web", "--tail=0"]), "");
  assert.equal(await kubectl(["logs", "web", "--follow", "--tail=1"]), "three of web\nfour\nfive\n");
  assert.match((await tryKubectl(["logs", "web", "-c", "other"])).stderr, /container other is not valid for pod web/);
  assert.match((await tryKubectl(["logs", "web", "--previous"])).stderr, /it was never restarted/);
});

test("kubectl runs commands in pods: output, input, exit status", { skip: withoutKubectl }, async (t) => {
  const program = kubectlPrograms().find((name) => /kubectl(\.1\.3[0-9])?$/.test(name));
  const { kubectl, tryKubectl } = await startCluster(t, {
    pods: access,
    ...(program === undefined ? {} : { program }),
  });
  await kubectl(["run", "web", "--image=web"]);
  await kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"]);
  const exec = (args: readonly string[], input = "") => tryKubectl(["exec", ...args], input, modern);
  const plain = await exec(["web", "--", "sh", "-c", "echo in $POD; echo oops >&2"]);
  if (/unable to upgrade connection/.test(plain.stderr)) return t.skip("this kubectl runs commands over SPDY only");
  assert.deepEqual(plain, { code: 0, stdout: "in web\n", stderr: "oops\n" });
  const text = "line\n".repeat(100_000);
  const echoed = await exec(["-i", "web", "--", "cat"], text);
  assert.equal(echoed.code, 0, echoed.stderr);
  assert.equal(echoed.stdout.length, text.length);
  const slow = await exec(["-i", "web", "--", "sh", "-c", "sleep 0.3; wc -c"], text);
  assert.equal(slow.stdout.trim(), String(text.length), "a program that reads late gets everything");
  assert.equal((await exec(["web", "--", "sh", "-c", "exit 7"])).code, 7);
  assert.match((await exec(["web", "--", "forbidden"])).stderr, /no such program in the pod/);
  assert.match((await exec(["none", "--", "true"])).stderr, /pods "none" not found/);
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
  assert.equal((await request("GET", "/version", undefined, upgrade)).status, 404);
});

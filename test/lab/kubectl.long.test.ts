/** A whole lab, by every kubectl of this machine: Debian's 1.20 (kubernetes-client), named in PORTOLAN_KUBECTL, and newer ones. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Cluster, kubectlPrograms } from "../api/cluster.ts";
import { useDefinition } from "../api/definitions.ts";
import { reachInto } from "./reach.ts";
import { eventually, TestLab } from "./testlab.ts";

const lab = new TestLab();
const folder = mkdtempSync(join(tmpdir(), "ptl-kubectl-"));
before(async () => {
  await lab.lab("up");
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await lab.remove();
});

const deployment = (replicas: number) => `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app: shop}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "shop:1", ports: [{containerPort: 8080}]}]}
`;

for (const program of kubectlPrograms()) {
  const name = program.split("/").slice(-4).join("/");

  test(`${name} works with a lab as with any cluster`, async () => {
    const run = (args: readonly string[], input = "") => lab.run([program, ...args], input);
    const kubectl = async (...args: readonly string[]) => {
      const { code, out, err } = await run(args);
      assert.equal(code, 0, `${args.join(" ")}: ${err}`);
      return out;
    };
    const file = join(folder, "shop.yaml");
    await kubectl("delete", "deployment/shop", "service/shop", "--ignore-not-found");
    writeFileSync(file, deployment(2));
    assert.match(await kubectl("apply", "-f", file), /deployment.apps\/shop created/);
    assert.match(await kubectl("rollout", "status", "deployment/shop", "--timeout=20s"), /successfully rolled out/);
    await kubectl("expose", "deployment", "shop", "--port=80", "--target-port=8080");
    const address = await kubectl("get", "service", "shop", "-o", "jsonpath={.spec.clusterIP}");
    await eventually(
      "the Service answers",
      () => lab.get("node1", `http://${address}/hostname`),
      (answer) => answer.startsWith("shop-"),
    );
    const watch = lab.start([program, "get", "deployment", "shop", "--watch", "-o", "name"]);
    let seen = 0;
    watch.stdout?.on("data", (bytes: Buffer) => {
      seen += bytes.toString().split("\n").length - 1;
    });
    await eventually(
      "the watch has begun",
      async () => seen,
      (count) => count > 0,
    );
    await kubectl("scale", "deployment/shop", "--replicas=3");
    await kubectl("wait", "--for=condition=Available", "deployment/shop", "--timeout=20s");
    await eventually(
      "the watch has told it",
      async () => seen,
      (count) => count > 1,
    );
    watch.kill("SIGTERM");
    writeFileSync(file, deployment(4));
    const difference = await run(["diff", "-f", file]);
    assert.equal(difference.code, 1, difference.err);
    assert.match(difference.out, /-\s+replicas: 3\n\+\s+replicas: 4/);
    const editor = join(folder, "editor");
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/shop:1/shop:2/" "$1"\n');
    chmodSync(editor, 0o755);
    assert.match(
      (await lab.run(["env", `KUBE_EDITOR=${editor}`, program, "edit", "deployment", "shop"])).out,
      /deployment.apps\/shop edited/,
    );
    await kubectl("rollout", "status", "deployment/shop", "--timeout=20s");
    await kubectl("rollout", "undo", "deployment/shop");
    await kubectl("rollout", "status", "deployment/shop", "--timeout=20s");
    assert.match(await kubectl("rollout", "history", "deployment/shop"), /2 +<none>\n3 +<none>/);
    assert.match(await kubectl("explain", "deployment.spec.strategy"), /rollingUpdate/);
    assert.match(await kubectl("get", "pods", "-o", "wide"), /shop-\S+ +1\/1 +Running/);
    assert.match(await kubectl("describe", "service", "shop"), /Endpoints: +10\.244\./);
    await kubectl("delete", "-f", file, "--timeout=20s");
    await kubectl("delete", "service", "shop");
  });

  test(`${name} reaches into pods`, async () => {
    const mark = join(folder, `mark-${Math.random()}`);
    const script = `echo first; test -e ${mark} || { touch ${mark}; exit 1; }; exec sleep 1000`;
    const spec = { containers: [{ name: "main", image: "x", command: ["sh", "-c", script] }] };
    await lab.apply(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "reached" }, spec }));
    await eventually(
      "it was started again",
      () => lab.field("pod reached", ".status.containerStatuses[0].restartCount"),
      (count) => count === "1",
    );
    await reachInto(lab, "reached", program);
    await lab.kubectl("delete", "pod", "reached", "--grace-period=0", "--force");
  });

  test(`${name} defines kinds`, async () => {
    const tryKubectl: Cluster["tryKubectl"] = async (args, input) => {
      const { code, out, err } = await lab.run([program, ...args], input);
      return { code, stdout: out, stderr: err };
    };
    const kubectl: Cluster["kubectl"] = async (args, input) => {
      const { code, stdout, stderr } = await tryKubectl(args, input);
      assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
      return stdout;
    };
    await useDefinition({ kubectl, tryKubectl });
  });
}

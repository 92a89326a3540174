/** Nothing is found on nodes that are healthy, whatever the mode and whatever Services there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findFaults } from "../../src/check/check.ts";
import { Facts } from "../../src/check/facts.ts";
import { lookInside } from "../../src/check/gather.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { findCluster } from "../../src/kube/kubeconfig.ts";
import { capture } from "../../src/trace/snapshot/index.ts";
import { readObjects } from "../../src/trace/snapshot/readobjects.ts";
import { eventually, TestLab } from "../lab/testlab.ts";

const port = "ports: [{ port: 80, targetPort: http }]";
/** Services of all kinds. The pods of `hello` are on both nodes. */
const cast = [
  `{ metadata: { name: both }, spec: { ipFamilyPolicy: PreferDualStack, selector: { app: hello }, ${port} } }`,
  `{ metadata: { name: six }, spec: { ipFamilies: [IPv6], selector: { app: hello }, ${port} } }`,
  `{ metadata: { name: local }, spec: { type: LoadBalancer, externalTrafficPolicy: Local, selector: { app: hello }, ${port} } }`,
  `{ metadata: { name: inner }, spec: { internalTrafficPolicy: Local, sessionAffinity: ClientIP, selector: { app: hello }, ${port} } }`,
  `{ metadata: { name: outer }, spec: { externalIPs: [203.0.113.9], selector: { app: hello }, ${port} } }`,
  `{ metadata: { name: two }, spec: { selector: { app: hello }, ports: [{ name: a, port: 80, targetPort: http }, { name: b, port: 81, targetPort: lines, protocol: UDP }] } }`,
  "{ metadata: { name: name }, spec: { type: ExternalName, externalName: example.com } }",
  `{ metadata: { name: headless }, spec: { clusterIP: None, selector: { app: nobody }, ${port} } }`,
  `{ metadata: { name: other, labels: { service.kubernetes.io/service-proxy-name: other } }, spec: { selector: { app: nobody }, ${port} } }`,
].map((service) => `--- \n${JSON.stringify({ apiVersion: "v1", kind: "Service" }).slice(0, -1)}, ${service.slice(1)}`);

for (const mode of ["nftables", "iptables", "userspace"]) {
  test(`nothing is found on the nodes of a dual-stack lab in mode ${mode}`, async () => {
    const lab = new TestLab();
    let client: KubeClient | undefined;
    try {
      await lab.lab("up", "--mode", mode, "--dual-stack");
      await lab.kubectl("apply", "-f", new URL("../../examples/lab/hello.yaml", import.meta.url).pathname);
      await lab.kubectl("scale", "deployment", "hello", "--replicas=4");
      await lab.apply(cast.join("\n"));
      await lab.kubectl("rollout", "status", "deployment/hello", "--timeout=20s");
      const first = await lab.field("pods", ".items[0].metadata.name");
      const web = await lab.field("service both", ".spec.clusterIP");
      // Connections of all sorts that are there afterwards.
      await lab.answers(`default/${first}`, `http://${web}/hostname`);
      await lab.udp("outside", "172.20.0.11", 30_090, "echo x");
      client = new KubeClient(findCluster({ kubeconfig: lab.env.KUBECONFIG ?? "" }));
      for (const node of ["node1", "node2"]) {
        const api = client;
        const look = async () => {
          const cluster = await readObjects(api, AbortSignal.timeout(10_000));
          const snapshot = await capture(lab.namespace(node));
          const facts = new Facts(snapshot, { cluster, insides: lookInside(snapshot, lab.namespace(node)) });
          assert.equal(facts.node?.name, node);
          assert.deepEqual(facts.proxies.map(({ family }) => family).sort(), ["IPv4", "IPv6"]);
          assert.ok(facts.podLinks.length >= 1 && facts.insides.length === facts.podLinks.length);
          return findFaults(facts).map(({ check, message }) => `${check} ${message}`);
        };
        await eventually(`nothing is found on ${node}`, look, (found) => found.length === 0);
      }
    } finally {
      await client?.destroy();
      await lab.remove();
    }
  });
}

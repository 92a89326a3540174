/** What is seen in a lab, from everywhere and with every command that looks into its namespaces. */
import { join } from "node:path";
import type { TestLab } from "./testlab.ts";

const pod = (name: string, node: string, app: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app } },
  spec: { nodeName: node, containers: [{ name: "web", image: "web", ports: [{ containerPort: 8080 }] }] },
});
const objects = [
  pod("a", "node1", "web"),
  pod("b", "node2", "web"),
  pod("client", "node1", "client"),
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: { type: "NodePort", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080, nodePort: 30_081 }] },
  },
];

/** Who answers twenty requests from a place, and how curl fails at a port that nobody serves. */
export async function answersTo(lab: TestLab, place: string, host: string, port: number): Promise<string> {
  const script = `
    for i in $(seq 20); do curl -s -m 2 --noproxy '*' http://${host}:${port}/hostname; echo; done | sort -u | xargs
    curl -s -m 1 --noproxy '*' http://${host}:${port + 1}/; echo $?`;
  return (await lab.try("exec", place, "--", "sh", "-c", script)).out;
}

/** Starts a lab with two pods behind a Service, and plays with it in each of these modes. */
export async function story(lab: TestLab, modes: readonly string[]) {
  await lab.lab("up");
  await lab.make(...objects);
  await lab.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=20s");
  const answers: Record<string, readonly string[]> = {};
  for (const mode of modes) {
    await lab.lab("mode", mode);
    answers[mode] = await Promise.all([
      answersTo(lab, "client", "web.default", 80),
      answersTo(lab, "outside", "172.20.0.12", 30_081),
    ]);
  }
  const namespace = ["--namespace", lab.namespace("node1")];
  const address = await lab.field("service web", ".spec.clusterIP");
  const [trace, check] = await Promise.all([
    lab.run([lab.program, "trace", ...namespace, "node", `${address}:80`]),
    lab.run([lab.program, "check", ...namespace, "--kubeconfig", join(lab.folder, "api", "kubeconfig")]),
  ]);
  await lab.lab("break", "forward-drop");
  const broken = (await lab.try("exec", "client", "--", "curl", "-s", "-m", "0.5", "http://10.244.2.2:8080/")).code;
  await lab.lab("repair");
  return {
    answers,
    trace: trace.code,
    check: [check.code, check.out],
    broken,
    nodes: await lab.kubectl("get", "nodes", "-o", "name"),
    inside: await lab.kubectl("exec", "a", "--", "sh", "-c", "hostname; id -u; cat /etc/resolv.conf"),
    log: (await lab.lab("logs", "a")).includes("GET /hostname 200 from"),
  };
}

import { ifThere, resourcePath } from "../../kube/client.ts";
import { isFields } from "../../kube/objects/fields.ts";
import { services } from "../../kube/objects/service.ts";
import { type Fault, nodeAt } from "./fault.ts";

/** A node port that only answers where pods are. */
export const localWithoutEndpoints: Fault = {
  name: "local-without-endpoints",
  deed: "A Service with a node port and externalTrafficPolicy Local is made, and no pod of it runs on the first node.",
  symptom:
    "Service `fault-local` answers on its node port at one node, and at the first node nothing comes back, not even a refusal.",
  explanation:
    "With externalTrafficPolicy: Local a node sends clients from outside to its own pods only, so that they see the client's address. A node without such pods drops. A load balancer that does not ask the health check node port sends clients there all the same.",
  remedy: "externalTrafficPolicy: Cluster, or pods on every node that clients are sent to",
  lasting: true,
  async break(stage) {
    const away = nodeAt(stage, 1).name;
    const { namespace } = stage.service;
    const labels = { app: "fault-local" };
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "fault-local", namespace, labels },
      spec: {
        nodeName: away,
        containers: [{ name: "server", image: "portolan/hello", ports: [{ containerPort: 8080 }] }],
      },
    };
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "fault-local", namespace },
      spec: {
        type: "NodePort",
        externalTrafficPolicy: "Local",
        selector: labels,
        ports: [{ port: 80, targetPort: 8080 }],
      },
    };
    const send = (plural: string, body: object) =>
      stage.client.send({ method: "POST", path: resourcePath({ ...core, plural }, { namespace }), body }, stage.signal);
    await send("pods", pod);
    const made = await send("services", service);
    const ports = isFields(made) && isFields(made.spec) && Array.isArray(made.spec.ports) ? made.spec.ports : [];
    return { namespace, nodePort: isFields(ports[0]) ? ports[0].nodePort : undefined };
  },
  async repair(stage, memory) {
    const { namespace } = memory as { readonly namespace: string };
    const remove = (plural: string, body?: object) =>
      ifThere(
        stage.client.send(
          { method: "DELETE", path: resourcePath({ ...core, plural }, { namespace, name: "fault-local" }), body },
          stage.signal,
        ),
      );
    await remove(services.plural);
    await remove("pods", { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0 });
  },
};

const core = { group: "", version: "v1" } as const;

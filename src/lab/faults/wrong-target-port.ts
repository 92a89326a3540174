import { isFields } from "../../kube/objects/fields.ts";
import { type Fault, patchService, serviceSpec } from "./fault.ts";

/** A Service that leads to a port on which nobody listens. */
export const wrongTargetPort: Fault = {
  name: "wrong-target-port",
  deed: "The Service's targetPort becomes one on which its pods do not listen.",
  symptom:
    "Every request to the Service is refused at once, while it has endpoints that are ready and the pods answer on their own.",
  explanation:
    "The proxy does what the Service says and does not know where pods listen: the pod's kernel refuses. Compare the ports of the EndpointSlice with `ss -ltn` in a pod.",
  remedy: "set targetPort to the port, or the port's name, on which the container listens",
  lasting: true,
  async break(stage) {
    const { ports } = await serviceSpec(stage);
    const list = Array.isArray(ports) ? ports.filter(isFields) : [];
    await patchService(stage, { ports: list.map((port) => ({ ...port, targetPort: 9999 })) });
    return { ports: list };
  },
  repair: (stage, memory) => patchService(stage, memory as object),
};

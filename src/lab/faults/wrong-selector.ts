import { type Fault, patchService, serviceSpec } from "./fault.ts";

/** A Service that no pod is behind. */
export const wrongSelector: Fault = {
  name: "wrong-selector",
  deed: "The Service's selector asks for a label that no pod has.",
  symptom: "Every request to the Service is refused at once, though all pods are ready.",
  explanation:
    "The endpoints of a Service are the pods that its selector finds. With none the proxy rejects, so that clients need not wait. `kubectl get endpointslices` shows it; compare the selector with `kubectl get pods --show-labels`.",
  remedy: "make the selector, or the labels of the pods, right",
  lasting: true,
  async break(stage) {
    const { selector } = await serviceSpec(stage);
    await patchService(stage, { selector: { "no-pod-has-this": "label" } });
    return { selector: { ...(selector as object), "no-pod-has-this": null } };
  },
  repair: (stage, memory) => patchService(stage, memory as object),
};

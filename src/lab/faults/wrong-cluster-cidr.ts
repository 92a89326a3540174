import { type Fault, nodeAt } from "./fault.ts";

/** A proxy that takes the wrong addresses for those of pods. */
export const wrongClusterCidr: Fault = {
  name: "wrong-cluster-cidr",
  deed: "The proxy of the first node is told a clusterCIDR that its pods are not in.",
  symptom:
    "Everything answers, but servers no longer see who asks: requests of the first node's pods to Services come from the node's address.",
  explanation:
    "What does not come from a pod is masqueraded on its way to a cluster IP, so that the answer finds back; what is a pod, the proxy tells by clusterCIDR. Logs, rate limits and network policies that go by source addresses are then wrong.",
  remedy:
    "clusterCIDR of the proxy's configuration must be the prefix of all pods: kubectl get nodes -o jsonpath='{.items[*].spec.podCIDR}'",
  async break(stage) {
    const { name } = nodeAt(stage, 0);
    await stage.ask({ op: "clusterCIDR", name, cidr: "10.99.0.0/16" });
    return { name };
  },
  async repair(stage, memory) {
    await stage.ask({ op: "clusterCIDR", name: (memory as { readonly name: string }).name });
  },
};

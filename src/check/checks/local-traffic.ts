import type { Check } from "../finding.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

/** A node port that answers on some nodes only, without anybody being told which. */
export const localTraffic: Check = {
  name: "local-traffic",
  about:
    "Whether a Service with externalTrafficPolicy Local has endpoints on this node, unless a load balancer is told by the health check node port.",
  seen: ["kubernetes/kubernetes#50977", "kubernetes/kubernetes#127937", "kubernetes/kubernetes#66354"],
  run({ cluster, node }) {
    if (cluster === undefined || node === undefined) return [];
    const slices = slicesByService(cluster);
    return cluster.services
      .filter((service) => service.externalTrafficPolicy === "Local" && service.healthCheckNodePort === 0)
      .flatMap((service) => {
        const found = service.ports.filter(({ name, protocol }) => {
          const usable = endpointsOf(slices.get(serviceTitle(service)) ?? [], { name, protocol }).filter(isUsable);
          return usable.length > 0 && usable.every(({ nodeName }) => nodeName !== node.name);
        });
        const where = [
          ...found
            .filter(({ nodePort }) => nodePort > 0)
            .map(({ nodePort, protocol }) => `node port ${nodePort}/${protocol}`),
          ...(found.length > 0 ? service.externalIPs : []),
        ];
        if (where.length === 0) return [];
        return [
          {
            severity: "warning",
            subject: serviceTitle(service),
            message: `${serviceTitle(service)} has externalTrafficPolicy Local and no endpoint on this node (${node.name}): what comes here from outside for ${where.join(", ")} is dropped, and no health check says so.`,
            remedy: `spec.externalTrafficPolicy: Cluster, or pods on every node that clients are sent to`,
          },
        ];
      });
  },
};

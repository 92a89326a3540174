import type { Facts } from "../facts.ts";
import { type Check, command, type Finding } from "../finding.ts";
import { endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

/** A node port that answers on some nodes only, without anybody being told which. */
export const localTraffic: Check = {
  name: "local-traffic",
  about:
    "Whether a Service with externalTrafficPolicy Local has endpoints on this node, or else a health check node port by which a load balancer is told, and somebody answers there.",
  seen: ["kubernetes/kubernetes#50977", "kubernetes/kubernetes#127937", "kubernetes/kubernetes#66354"],
  run(facts) {
    const { cluster, node } = facts;
    if (cluster === undefined || node === undefined) return [];
    const slices = slicesByService(cluster);
    const dropping = cluster.services
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
            severity: "warning" as const,
            subject: serviceTitle(service),
            message: `${serviceTitle(service)} has externalTrafficPolicy Local and no endpoint on this node (${node.name}): what comes here from outside for ${where.join(", ")} is dropped, and no health check says so.`,
            remedy: "externalTrafficPolicy: Cluster, or pods on every node that clients are sent to",
            run: [
              command`kubectl -n ${service.namespace} patch service ${service.name} -p '{"spec":{"externalTrafficPolicy":"Cluster"}}'`,
            ],
          },
        ];
      });
    return [...dropping, ...unhealthy(facts)];
  },
};

/** Health check node ports where nobody answers: load balancers then take the node for one that is down. */
function unhealthy({ cluster, proxies, snapshot }: Facts): readonly Omit<Finding, "check">[] {
  // Others than the proxies that are known serve them by other means; and a node has sockets, if they can be read.
  if (cluster === undefined || proxies.length === 0 || snapshot.sockets.length === 0) return [];
  const listening = new Set(snapshot.sockets.flatMap(({ protocol, port }) => (protocol === "TCP" ? [port] : [])));
  return cluster.services
    .filter(({ healthCheckNodePort: port }) => port > 0 && !listening.has(port))
    .map((service) => ({
      severity: "error",
      subject: `${serviceTitle(service)}, health check`,
      message: `Nobody answers health checks of ${serviceTitle(service)} on this node (port ${service.healthCheckNodePort}): load balancers take the node for one without endpoints and send it nothing.`,
      remedy: `see whether the proxy runs, and what its log says of port ${service.healthCheckNodePort}`,
      run: [command`curl -i http://127.0.0.1:${service.healthCheckNodePort}/`],
    }));
}

import { type Check, some } from "../finding.ts";
import { serviceTitle } from "../services.ts";

/** A node port that several Services have. */
export const nodePortCollision: Check = {
  name: "node-port-collision",
  about: "Whether each node port, and each health check node port, is of one Service alone.",
  seen: ["kubernetes/kubernetes#44098", "kubernetes/kubernetes#63617", "kubernetes/kubernetes#64466"],
  run({ cluster, proxies }) {
    if (cluster === undefined || proxies.length === 0) return [];
    const users = new Map<string, string[]>();
    const use = (port: number, protocol: string, who: string) => {
      if (port === 0) return;
      const key = `${port}/${protocol}`;
      const before = users.get(key);
      if (before === undefined) users.set(key, [who]);
      else before.push(who);
    };
    for (const service of cluster.services) {
      const title = serviceTitle(service);
      for (const { nodePort, protocol, name } of service.ports) {
        use(nodePort, protocol, `${title}${name === "" ? "" : ` port ${name}`}`);
      }
      use(service.healthCheckNodePort, "TCP", `the health check of ${title}`);
    }
    return [...users]
      .filter(([, who]) => who.length > 1)
      .map(([port, who]) => ({
        severity: "error" as const,
        subject: `node port ${port}`,
        message: `Node port ${port} is of ${some(who)}: one of them gets all connections, and which one is for the proxy to choose, on each node for itself.`,
        remedy: "give all but one another nodePort (or healthCheckNodePort), or leave the field out",
        run: ["kubectl get services -A -o wide"],
      }));
  },
};

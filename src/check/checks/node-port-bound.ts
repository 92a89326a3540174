import { isLoopback } from "../../net/address.ts";
import { type Check, command } from "../finding.ts";
import { serviceTitle } from "../services.ts";

/** A node port on which a program of the node listens. */
export const nodePortBound: Check = {
  name: "node-port-bound",
  about: "Whether a program of the node listens on a node port: who connects gets the Service, not the program.",
  seen: ["kubernetes/kubernetes#111682", "kubernetes/kubernetes#111697", "antrea-io/antrea#2381"],
  run({ snapshot, cluster, proxies }) {
    // A proxy in user space listens there itself, and so did kube-proxy once, beside rules that it then had anyway.
    if (cluster === undefined || proxies.length === 0) return [];
    const sockets = Map.groupBy(snapshot.sockets, ({ protocol, port }) => `${protocol} ${port}`);
    return cluster.services.flatMap((service) =>
      service.ports.flatMap(({ nodePort, protocol }) => {
        const [socket] = (sockets.get(`${protocol} ${nodePort}`) ?? []).filter(({ address }) => !isLoopback(address));
        if (socket === undefined) return [];
        return [
          {
            severity: "warning" as const,
            subject: `${serviceTitle(service)} node port ${nodePort}/${protocol}`,
            message: `A program of this node listens on ${socket.address} port ${nodePort}/${protocol}, which is a node port of ${serviceTitle(service)}: clients get the Service, and never the program.`,
            remedy: "see which program it is; give it another port, or the Service another nodePort",
            run: [command`ss -${protocol === "UDP" ? "u" : "t"}lnp sport = :${nodePort}`],
          },
        ];
      }),
    );
  },
};

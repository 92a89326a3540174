import { type Address, familyOf, isLoopback, isUnspecified } from "../../net/address.ts";
import type { PodInside } from "../facts.ts";
import { type Check, some } from "../finding.ts";
import { endpointsOf, serviceTitle, slicesByService } from "../services.ts";

/** Services that lead to ports on which their pods do not listen. */
export const targetPort: Check = {
  name: "target-port",
  about:
    "Whether the pods of this node listen on the ports that Services send to, where the pods' namespaces can be seen.",
  seen: ["kubernetes/kubernetes#36335", "kubernetes/kubernetes#11818"],
  run({ cluster, insides }) {
    if (cluster === undefined || insides.length === 0) return [];
    const inside = new Map(insides.flatMap((each) => each.addresses.map((address) => [address, each] as const)));
    const slices = slicesByService(cluster);
    const podNames = new Map(
      cluster.pods.flatMap(({ addresses, name }) => addresses.map((address) => [address, name] as const)),
    );
    return cluster.services.flatMap((service) =>
      service.ports.flatMap(({ name, port, protocol }) => {
        if (protocol === "SCTP") return [];
        const behind = endpointsOf(slices.get(serviceTitle(service)) ?? [], { name, protocol }).filter(
          ({ ready }) => ready,
        );
        const deaf = behind.flatMap((endpoint) => {
          const pod = inside.get(endpoint.address);
          const how = pod === undefined ? "listens" : listening(pod, protocol, endpoint.address, endpoint.port);
          return how === "listens" ? [] : [{ ...endpoint, how }];
        });
        const [first] = deaf;
        if (first === undefined) return [];
        const who = some(new Set(deaf.map(({ address }) => podNames.get(address) ?? address)));
        const local = deaf.every(({ how }) => how === "loopback");
        return [
          {
            severity: "error" as const,
            subject: `${serviceTitle(service)} port ${port}/${protocol}`,
            message: `${serviceTitle(service)} sends port ${port}/${protocol} to port ${first.port} of its pods, and ${local ? "only on 127.0.0.1 does anybody listen there" : "nobody listens there"} in ${who}: connections that get there are refused.`,
            remedy: local
              ? "have the program in the pod listen on all addresses (0.0.0.0 or ::)"
              : "set spec.ports[].targetPort to the port, or the port's name, on which the container listens",
          },
        ];
      }),
    );
  },
};

function listening(
  { sockets }: PodInside,
  protocol: string,
  address: Address,
  port: number,
): "listens" | "loopback" | "nobody" {
  const there = sockets.filter((socket) => socket.protocol === protocol && socket.port === port);
  const family = familyOf(address);
  const reaches = there.some(
    (socket) =>
      socket.address === address ||
      (isUnspecified(socket.address) &&
        (familyOf(socket.address) === family || (family === "IPv4" && !socket.onlyIPv6))),
  );
  if (reaches) return "listens";
  return there.some((socket) => isLoopback(socket.address)) ? "loopback" : "nobody";
}

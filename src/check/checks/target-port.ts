import { type Address, familyOf, isLoopback, isUnspecified } from "../../net/address.ts";
import type { PodInside } from "../facts.ts";
import { type Check, command, some } from "../finding.ts";
import { endpointsOf, serviceTitle, slicesByService } from "../services.ts";

/** Seconds after a pod became ready in which its programs may still start: many have no readiness probe. */
const patience = 10;

/** Services that lead to ports on which their pods do not listen. */
export const targetPort: Check = {
  name: "target-port",
  about:
    "Whether the pods of this node listen on the ports that Services send to, where the pods' namespaces can be seen.",
  seen: ["kubernetes/kubernetes#36335", "kubernetes/kubernetes#11818"],
  run(facts) {
    const { cluster, insides } = facts;
    if (cluster === undefined || insides.length === 0) return [];
    const inside = new Map(insides.flatMap((each) => each.addresses.map((address) => [address, each] as const)));
    const slices = slicesByService(cluster);
    const pods = new Map(cluster.pods.flatMap((pod) => pod.addresses.map((address) => [address, pod] as const)));
    const isStarting = (address: Address) => facts.isRecent(pods.get(address)?.readinessSince, patience);
    return cluster.services.flatMap((service) =>
      service.ports.flatMap(({ name, port, protocol }) => {
        if (protocol === "SCTP") return [];
        const behind = endpointsOf(slices.get(serviceTitle(service)) ?? [], { name, protocol }).filter(
          ({ ready, address }) => ready && !isStarting(address),
        );
        const deaf = behind.flatMap((endpoint) => {
          const pod = inside.get(endpoint.address);
          const how = pod === undefined ? "listens" : listening(pod, protocol, endpoint.address, endpoint.port);
          return how === "listens" ? [] : [{ ...endpoint, how }];
        });
        const [first] = deaf;
        if (first === undefined) return [];
        const who = some(new Set(deaf.map(({ address }) => pods.get(address)?.name ?? address)));
        const pod = inside.get(first.address);
        const local = deaf.every(({ how }) => how === "loopback");
        return [
          {
            severity: "error" as const,
            subject: `${serviceTitle(service)} port ${port}/${protocol}`,
            message: `${serviceTitle(service)} sends port ${port}/${protocol} to port ${first.port} of its pods, and ${local ? "only on 127.0.0.1 does anybody listen there" : "nobody listens there"} in ${who}: connections that get there are refused.`,
            remedy: local
              ? "have the program in the pod listen on all addresses (0.0.0.0 or ::)"
              : "set spec.ports[].targetPort to the port on which the container listens; if the program is only slow to start, give the pod a readiness probe",
            run: [
              ...(pod === undefined
                ? []
                : [command`ip netns exec ${pod.namespace} ss -${protocol === "UDP" ? "u" : "t"}lnp`]),
              command`kubectl -n ${service.namespace} edit service ${service.name}`,
            ],
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

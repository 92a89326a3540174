/** Services and their endpoints, as several checks ask for them. */
import type { EndpointSlice, SliceEndpoint } from "../kube/objects/endpointslice.ts";
import type { Address } from "../net/address.ts";
import type { Protocol } from "../net/protocol.ts";
import type { CheckedService, ClusterObjects } from "../trace/snapshot/objects.ts";

/** What a Service is called in findings. */
export function serviceTitle({ namespace, name }: Pick<CheckedService, "namespace" | "name">): string {
  return `service ${namespace}/${name}`;
}

/** The slices of each Service, by {@link serviceTitle}. Made once for each list of objects. */
export function slicesByService(objects: ClusterObjects): ReadonlyMap<string, readonly EndpointSlice[]> {
  let groups = groupsOf.get(objects);
  if (groups === undefined) {
    groups = Map.groupBy(objects.slices, ({ namespace, service }) => serviceTitle({ namespace, name: service }));
    groupsOf.set(objects, groups);
  }
  return groups;
}

const groupsOf = new WeakMap<ClusterObjects, ReadonlyMap<string, readonly EndpointSlice[]>>();

/** The endpoints behind one port of a Service: address, port number, and all that the slice says. */
export function endpointsOf(
  slices: readonly EndpointSlice[],
  port: { readonly name: string; readonly protocol: Protocol },
): readonly (SliceEndpoint & { readonly port: number })[] {
  return slices.flatMap(({ ports, endpoints }) =>
    ports
      .filter(({ name, protocol }) => name === port.name && protocol === port.protocol)
      .flatMap((found) => endpoints.map((endpoint) => ({ ...endpoint, port: found.port }))),
  );
}

/** Whether packets of new connections may be sent there. */
export function isUsable({ ready, serving, terminating }: SliceEndpoint): boolean {
  return ready || (serving && terminating);
}

/** All addresses of a Service but those of its node ports. */
export function addressesOf(service: CheckedService): readonly Address[] {
  const balancers = service.loadBalancerIPs.filter(({ ipMode }) => ipMode === "VIP").map(({ ip }) => ip);
  return [...service.clusterIPs, ...service.externalIPs, ...balancers];
}

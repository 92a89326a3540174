/** Where this server itself is found: its names within the cluster, and its addresses. */
import { networkInterfaces } from "node:os";
import { type Address, tryParseAddress } from "../../../net/address.ts";
import type { Site } from "../../server/site.ts";
import { joinName } from "./answers.ts";
import type { Directory } from "./directory.ts";
import { endpointName } from "./lookup.ts";

/** The addresses under which other machines reach this server: those it is bound to, or all of this machine. */
export function localAddresses({ settings: { bind } }: Site): readonly Address[] {
  const all = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
    .map(({ address }) => address);
  return (bind.length > 0 ? bind : all).flatMap((text) => tryParseAddress(text) ?? []);
}

/**
 * The names under which a server can be reached, with their addresses: of the Services that lead to it, otherwise
 * `ns.dns` of the zone.
 *
 * @param local the server's own addresses.
 */
export function nameServers(
  directory: Directory,
  local: readonly Address[],
  zone: string,
): ReadonlyMap<string, readonly Address[]> {
  const servers = new Map<string, Address[]>();
  for (const own of local) {
    for (const { service: owner, namespace, endpoints } of directory.slicesByEndpointIP(own)) {
      const service = directory.service(`${owner}.${namespace}`);
      if (service === undefined || service.kind === "externalName") continue;
      const endpoint = endpoints.find(({ address }) => address === own);
      if (service.kind === "clusterIP") {
        servers.set(joinName(`${owner}.${namespace}.svc`, zone), [...service.clusterIPs]);
      } else if (endpoint !== undefined) {
        const host = joinName(`${endpointName(endpoint)}.${owner}.${namespace}.svc`, zone);
        servers.set(host, [...(servers.get(host) ?? []), own]);
      }
    }
  }
  if (servers.size === 0) servers.set(joinName("ns.dns", zone), [...local]);
  return servers;
}

/**
 * The addresses at which a server is asked from outside of the cluster: the external ones of the Services that lead to
 * it, otherwise its own.
 *
 * @param local the server's own addresses.
 */
export function externalAddresses(directory: Directory, local: readonly Address[]): readonly Address[] {
  const external = local
    .flatMap((address) => directory.slicesByEndpointIP(address))
    .flatMap(({ service, namespace }) => directory.service(`${service}.${namespace}`)?.externalIPs ?? []);
  return external.length > 0 ? [...new Set(external)] : local;
}

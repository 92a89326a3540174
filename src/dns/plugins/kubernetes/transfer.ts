/** All records of a cluster's zone, for plugin transfer. */
import type { Address } from "../../../net/address.ts";
import { is, type ResourceRecord, record } from "../../wire/record.ts";
import { joinName } from "./answers.ts";
import type { KubernetesHandler } from "./kubernetes.ts";
import { endpointName, isExposed } from "./lookup.ts";
import type { DnsService } from "./objects.ts";

/** The records of a zone, its SOA first and last; the SOA alone if `serial` is the current one. */
export function* transferRecords(
  handler: KubernetesHandler,
  soa: ResourceRecord,
  zone: string,
  serial: number,
  servers: ReadonlyMap<string, readonly Address[]>,
): Iterable<ResourceRecord> {
  yield soa;
  if (is(soa, "SOA") && serial !== 0 && soa.data.serial === serial) return;
  const { options, cluster } = handler;
  const { ttl } = options;
  for (const [host, addresses] of servers) {
    yield record(zone, "NS", ttl, { host });
    for (const address of addresses) yield addressRecord(host, ttl, address);
  }
  for (const service of cluster.directory.services()) {
    if (isExposed(cluster.directory, options, service.namespace)) yield* recordsOf(handler, service, zone);
  }
  yield soa;
}

function* recordsOf(
  { options, cluster: { directory } }: KubernetesHandler,
  service: DnsService,
  zone: string,
): Iterable<ResourceRecord> {
  const { ttl } = options;
  const owner = joinName(`${service.name}.${service.namespace}.svc`, zone);
  if (service.kind === "externalName") {
    yield record(owner, "CNAME", ttl, { host: service.externalName });
    return;
  }
  for (const address of service.clusterIPs) yield addressRecord(owner, ttl, address);
  for (const { name, protocol, port } of service.kind === "clusterIP" ? service.ports : []) {
    if (name === "" || port < 0) continue;
    const srv = { priority: 0, weight: 100, port, host: owner };
    yield record(`_${name}._${protocol.toLowerCase()}.${owner}`, "SRV", ttl, srv);
  }
  if (service.kind !== "headless") return;
  for (const { endpoints, ports } of directory.slices(`${service.name}.${service.namespace}`)) {
    for (const endpoint of endpoints) {
      const host = `${endpointName(endpoint)}.${owner}`;
      yield addressRecord(owner, ttl, endpoint.address);
      yield addressRecord(host, ttl, endpoint.address);
      for (const { name, protocol, port } of ports) {
        if (name === "" || port < 0) continue;
        const srv = { priority: 0, weight: 100, port, host };
        yield record(`_${name}._${protocol.toLowerCase()}.${owner}`, "SRV", ttl, srv);
      }
    }
  }
}

function addressRecord(owner: string, ttl: number, address: Address): ResourceRecord {
  return record(owner, address.includes(":") ? "AAAA" : "A", ttl, { address });
}

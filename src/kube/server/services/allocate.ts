/** Cluster IPs and node ports of Services: given once, to one, and given back. */
import { type Address, type Family, familyOf, tryParseAddress } from "../../../net/address.ts";
import { type Prefix, prefixFamily, tryParsePrefix } from "../../../net/prefix.ts";
import { invalid, invalidObject, type Problem } from "../errors.ts";
import {
  type ApiObject,
  isObject,
  type Json,
  type JsonObject,
  listAt,
  type MutableObject,
  numberAt,
  objectAt,
  textAt,
} from "../json.ts";
import { service as serviceKind, wantsHealthPort } from "../kinds/service.ts";
import type { Store } from "../store/store.ts";
import { chooseFamilies } from "./families.ts";
import { addressAt, chooseFree, isUsable, reservedPlaces, usableAddresses } from "./ranges.ts";

/** Ports that node ports are chosen from, both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A Service with all that it asked for, and the addresses that it took and gives back. */
export interface Admission {
  readonly service: JsonObject;
  readonly taken: readonly Address[];
  readonly released: readonly string[];
}

/** Gives Services their addresses and ports. What is taken is read from the stored objects, so nothing else can be lost. */
export class ServiceAllocator {
  readonly #store: Store;
  readonly #ports: PortRange;
  readonly #random: () => number;
  #usedPorts = new Map<number, string>();
  #portsVersion = -1;

  constructor(store: Store, ports: PortRange, random: () => number) {
    this.#store = store;
    this.#ports = ports;
    this.#random = random;
  }

  /**
   * Fills in families, cluster IPs, node ports and the health check port.
   *
   * @throws {ApiError} 422 if what the Service asks for is taken, out of range or not to be had.
   */
  admit(service: JsonObject, previous: ApiObject | undefined): Admission {
    const spec = objectAt(service, "spec");
    const before = objectAt(previous, "spec");
    const owned = listAt(before, "clusterIPs")
      .map(String)
      .filter((ip) => ip !== "None");
    const name = textAt(service, "metadata", "name");
    const problems: Problem[] = [];
    const next: MutableObject = { ...spec };
    const taken: Address[] = [];
    if (textAt(spec, "type") !== "ExternalName") {
      const choice = chooseFamilies(spec, previous === undefined ? undefined : before, this.#families());
      if (choice.problems !== undefined) throw invalidObject(serviceKind, name, choice.problems);
      next.ipFamilies = [...choice.families];
      next.ipFamilyPolicy = choice.policy;
      if (textAt(spec, "clusterIP") === "None") {
        // What was asked for besides is looked at by validation.
        if (listAt(spec, "clusterIPs").length === 0) next.clusterIPs = ["None"];
      } else {
        const ips = this.#addresses(spec, choice.families, owned, taken, problems);
        next.clusterIPs = ips;
        next.clusterIP = ips[0];
      }
    }
    const id = `${textAt(service, "metadata", "namespace")}/${name}`;
    const ports = this.#nodePorts(next, id, problems);
    if (ports.length > 0) next.ports = ports;
    if (wantsHealthPort(next)) this.#healthPort(next, id, ports, problems);
    if (problems.length > 0) throw invalidObject(serviceKind, name, problems);
    const kept = listAt(next, "clusterIPs");
    return { service: { ...service, spec: next }, taken, released: owned.filter((ip) => !kept.includes(ip)) };
  }

  /** Ranges of cluster IPs, those of the default ServiceCIDR first. */
  #ranges(): readonly Prefix[] {
    const all = this.#store
      .list("servicecidrs.networking.k8s.io")
      .filter((cidr) => cidr.metadata.deletionTimestamp === undefined);
    const first = all.filter((cidr) => cidr.metadata.name === "kubernetes");
    return [...first, ...all.filter((cidr) => !first.includes(cidr))].flatMap((cidr) =>
      listAt(cidr, "spec", "cidrs").flatMap((text) => tryParsePrefix(String(text)) ?? []),
    );
  }

  #families(): readonly Family[] {
    return [...new Set(this.#ranges().map(prefixFamily))];
  }

  #isTaken(ip: string): boolean {
    return this.#store.get({ resource: "ipaddresses.networking.k8s.io", namespace: "", name: ip }) !== undefined;
  }

  #addresses(
    spec: JsonObject,
    families: readonly Family[],
    owned: readonly string[],
    taken: Address[],
    problems: Problem[],
  ): readonly Json[] {
    const asked =
      listAt(spec, "clusterIPs").length > 0
        ? listAt(spec, "clusterIPs")
        : spec.clusterIP === undefined
          ? []
          : [spec.clusterIP];
    return families.map((family, i) => {
      const wanted = tryParseAddress(String(asked[i] ?? ""));
      if (wanted !== undefined && owned.includes(wanted)) return wanted;
      const ranges = this.#ranges().filter((range) => prefixFamily(range) === family);
      if (wanted !== undefined) {
        const why = this.#refusal(wanted, ranges);
        if (why === undefined) taken.push(wanted);
        else problems.push(invalid("spec.clusterIPs", asked, `failed to allocate IP ${wanted}: ${why}`));
        return wanted;
      }
      for (const range of ranges) {
        const size = usableAddresses(range);
        const reserved = reservedPlaces(size, 16, 256, 16);
        const place = chooseFree(size, reserved, (at) => this.#isTaken(addressAt(range, at)), this.#random);
        if (place === undefined) continue;
        const address = addressAt(range, place);
        taken.push(address);
        return address;
      }
      problems.push(invalid("spec.clusterIPs", [], `failed to allocate a serviceIP: range is full (${family})`));
      return "";
    });
  }

  #refusal(address: Address, ranges: readonly Prefix[]): string | undefined {
    if (!ranges.some((range) => isUsable(range, address))) {
      return `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${ranges.join(",")}`;
    }
    return this.#isTaken(address) ? "provided IP is already allocated" : undefined;
  }

  #nodePorts(spec: JsonObject, id: string, problems: Problem[]): readonly JsonObject[] {
    const ports = listAt(spec, "ports").filter(isObject);
    const type = textAt(spec, "type");
    const used = this.#portsInUse();
    const mine = new Set(ports.map((port) => numberAt(port, ["nodePort"])));
    const free = (port: number) => (used.get(port) ?? id) === id;
    const automatic = type === "NodePort" || (type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
    return ports.map((port, i) => {
      const asked = numberAt(port, ["nodePort"]);
      const field = `spec.ports[${i}].nodePort`;
      if (asked !== 0) {
        const why = this.#inRange(asked)
          ? free(asked)
            ? undefined
            : "provided port is already allocated"
          : this.#outOfRange();
        // A port outside of the range that the Service had before is left to it.
        if (why !== undefined && used.get(asked) !== id) problems.push(invalid(field, asked, why));
        return port;
      }
      if (!automatic) return port;
      const chosen = this.#choosePort((number) => mine.has(number) || used.has(number));
      if (chosen === undefined) {
        problems.push(invalid(field, 0, "failed to allocate a nodePort: range is full"));
        return port;
      }
      mine.add(chosen);
      return { ...port, nodePort: chosen };
    });
  }

  #healthPort(spec: MutableObject, id: string, ports: readonly JsonObject[], problems: Problem[]): void {
    const used = this.#portsInUse();
    const mine = new Set(ports.map((port) => numberAt(port, ["nodePort"])));
    const asked = numberAt(spec, ["healthCheckNodePort"]);
    const field = "spec.healthCheckNodePort";
    if (asked === 0) {
      const chosen = this.#choosePort((number) => mine.has(number) || used.has(number));
      if (chosen === undefined)
        problems.push(invalid(field, 0, "failed to allocate requested HealthCheck NodePort: range is full"));
      else spec.healthCheckNodePort = chosen;
    } else if (used.get(asked) !== id || mine.has(asked)) {
      const refused = "failed to allocate requested HealthCheck NodePort";
      if (!this.#inRange(asked)) problems.push(invalid(field, asked, `${refused}: ${this.#outOfRange()}`));
      else if (mine.has(asked) || used.has(asked))
        problems.push(invalid(field, asked, `${refused}: provided port is already allocated`));
    }
  }

  #choosePort(taken: (port: number) => boolean): number | undefined {
    const { first, last } = this.#ports;
    const size = last - first + 1;
    const place = chooseFree(size, reservedPlaces(size, 16, 128, 32), (at) => taken(first + at), this.#random);
    return place === undefined ? undefined : first + place;
  }

  #inRange(port: number): boolean {
    return port >= this.#ports.first && port <= this.#ports.last;
  }

  #outOfRange(): string {
    const { first, last } = this.#ports;
    return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
  }

  /** Node ports with the Service that has each, brought up to date with the changes since the last time. */
  #portsInUse(): ReadonlyMap<number, string> {
    const log = this.#store.log("services");
    const changes = this.#portsVersion < 0 ? undefined : log.after(this.#portsVersion, Number.POSITIVE_INFINITY);
    if (changes === undefined) {
      this.#usedPorts = new Map(this.#store.list("services").flatMap((service) => portsOf(service)));
    } else {
      for (const { type, object, previous } of changes) {
        if (previous !== undefined) for (const [port] of portsOf(previous)) this.#usedPorts.delete(port);
        if (type !== "DELETED") for (const [port, id] of portsOf(object)) this.#usedPorts.set(port, id);
      }
    }
    this.#portsVersion = this.#store.version;
    return this.#usedPorts;
  }
}

function portsOf(service: ApiObject): readonly (readonly [number, string])[] {
  const id = `${service.metadata.namespace ?? ""}/${service.metadata.name}`;
  const ports = listAt(service, "spec", "ports").map((port) => numberAt(port, ["nodePort"]));
  return [...ports, numberAt(service, ["spec", "healthCheckNodePort"])]
    .filter((port) => port > 0)
    .map((port) => [port, id]);
}

/** The IPAddress object that says that a Service has an address. */
export function ipAddressObject(address: Address, service: ApiObject, now: string, uid: string): ApiObject {
  const labels = {
    "ipaddress.kubernetes.io/ip-family": familyOf(address),
    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
  };
  const { namespace, name } = service.metadata;
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: { name: address, uid, resourceVersion: "", creationTimestamp: now, labels },
    spec: { parentRef: { group: "", resource: "services", ...(namespace === undefined ? {} : { namespace }), name } },
  };
}

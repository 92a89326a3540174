/** Plugin k8s_external: names of Services in zones outside of the cluster, with their external addresses. */
import type { Address } from "../../../net/address.ts";
import { type Stanza, single } from "../../corefile/stanza.ts";
import {
  type Fallthrough,
  type Handler,
  type Next,
  type Outcome,
  type Plugin,
  ServeError,
} from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { errorReply, reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import { labelsOf, longestZone } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";
import { isReverseZone, reverseAddress } from "../../wire/reverse.ts";
import { addressRecords, joinName, serviceRecords, withoutZone, zoneAsAsked } from "../kubernetes/answers.ts";
import { KubernetesHandler } from "../kubernetes/kubernetes.ts";
import { endpointName, isExposed } from "../kubernetes/lookup.ts";
import type { DnsSlice, NamedPort } from "../kubernetes/objects.ts";

/** What a directive says. */
interface Options {
  readonly zones: readonly string[];
  /** The label of the name server's own name: `ns1.dns.<zone>` belongs to apex `dns`. */
  readonly apex: string;
  /** Seconds. */
  readonly ttl: number;
  /** Headless Services are answered with their endpoints. */
  readonly headless: boolean;
  readonly fallthrough: Fallthrough;
}

/** Where a name leads to. */
interface Target {
  readonly address: Address;
  readonly port: number;
  readonly target: string;
}

/** The plugin. */
export const k8sExternal: Plugin = {
  name: "k8s_external",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const handler = new External(parse(stanza, site), site);
    site.onStart(() => {
      if (handler.kubernetes === undefined) throw stanza.error("needs plugin kubernetes in the same server block");
    });
    return handler;
  },
};

function parse(stanza: Stanza, site: Site): Options {
  let apex = "dns";
  let ttl = 5;
  let headless = false;
  let fallthrough = noFallthrough;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "apex":
        [apex = "dns"] = property.expect(1);
        break;
      case "ttl":
        property.expect(1);
        ttl = property.number(0, "ttl", 0, 3600);
        break;
      case "headless":
        property.expect(0);
        headless = true;
        break;
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  return { zones: zonesOf(stanza, stanza.args, site), apex, ttl, headless, fallthrough };
}

class External implements Handler {
  readonly name = "k8s_external";
  readonly #options: Options;
  readonly #site: Site;

  constructor(options: Options, site: Site) {
    this.#options = options;
    this.#site = site;
  }

  /** The plugin whose cluster is answered from. */
  get kubernetes(): KubernetesHandler | undefined {
    const handler = this.#site.handler("kubernetes");
    return handler instanceof KubernetesHandler ? handler : undefined;
  }

  serve(query: Query, next: Next): Outcome {
    const { kubernetes } = this;
    const matched = longestZone(this.#options.zones, query.name);
    if (kubernetes === undefined || matched === undefined) return next(query);
    if (query.type === TYPE.AXFR || query.type === TYPE.IXFR) return errorReply(query.message, RCODE.REFUSED);
    const zone = zoneAsAsked(query.question.name, matched);
    if (query.name === matched) return this.#apex(query, kubernetes, zone);
    const { apex } = this.#options;
    const base = withoutZone(query.name, matched);
    if (base === apex || base.endsWith(`.${apex}`)) return this.#own(query, kubernetes, zone, base);
    const reverse = query.type === TYPE.PTR ? reverseAddress(query.name) : undefined;
    if (reverse !== undefined) return this.#pointer(query, next, kubernetes, zone, reverse);
    const found = this.#find(kubernetes, base);
    if (found === undefined) {
      if (this.#options.fallthrough(query.name)) return next(query);
      if (!kubernetes.ready())
        throw new ServeError(RCODE.SERVFAIL, "plugin/k8s_external: the API was not read completely yet");
      return this.#negative(query, kubernetes, zone, RCODE.NXDOMAIN);
    }
    return this.#answer(query, kubernetes, zone, found);
  }

  #answer(query: Query, kubernetes: KubernetesHandler, zone: string, found: Found): Outcome {
    const { ttl } = this.#options;
    const { name } = query.question;
    const { type } = query;
    if (type === TYPE.A || type === TYPE.AAAA) {
      const answer = addressRecords(name, type === TYPE.A ? "A" : "AAAA", ttl, found.targets);
      if (answer.length > 0) return reply(query.message, { answer });
      const [host] = found.hosts;
      if (host !== undefined && found.targets.length === 0) return this.#alias(query, host);
    } else if (type === TYPE.SRV) {
      const { answer, additional } = serviceRecords(name, zone, ttl, found.targets);
      if (answer.length > 0) return reply(query.message, { answer, additional });
    }
    return this.#negative(query, kubernetes, zone, RCODE.NOERROR);
  }

  /** The load balancer has a name instead of an address. */
  async #alias(query: Query, host: string) {
    const alias = record(query.question.name, "CNAME", this.#options.ttl, { host });
    const found = await this.#site.ask(query.ask({ name: host }));
    return reply(query.message, { answer: [alias, ...(found?.answer ?? [])] });
  }

  /** `[port.protocol.|endpoint.]service.namespace` */
  #find({ cluster, options }: KubernetesHandler, base: string): Found | undefined {
    const [namespace = "", name, ...rest] = labelsOf(base).reverse();
    const { directory } = cluster;
    if (!isExposed(directory, options, namespace)) return undefined;
    if (name === undefined) return { targets: [], hosts: [] };
    const service = directory.service(`${name}.${namespace}`);
    if (service === undefined || rest.length > 2) return undefined;
    const [first = "", second] = rest.map((label) => label.replace(/^_/, ""));
    const matches = (port: NamedPort) =>
      second === undefined || (port.name.toLowerCase() === second && port.protocol.toLowerCase() === first);
    const target = `${name}.${namespace}`;
    if (service.kind === "headless" && this.#options.headless) {
      return endpointsOf(directory.slices(target), target, second === undefined ? first : "", matches);
    }
    if (second === undefined && first !== "") return undefined;
    const ports = service.ports.filter(matches);
    if (ports.length === 0 || (service.externalIPs.length === 0 && service.externalHosts.length === 0))
      return undefined;
    const targets = service.externalIPs.flatMap((address) => ports.map(({ port }) => ({ address, port, target })));
    return { targets, hosts: service.externalHosts };
  }

  #pointer(query: Query, next: Next, kubernetes: KubernetesHandler, zone: string, address: Address): Outcome {
    const services = kubernetes.cluster.directory.servicesByExternalIP(address);
    if (services.length === 0) {
      if (this.#options.fallthrough(query.name)) return next(query);
      return this.#negative(query, kubernetes, zone, RCODE.NXDOMAIN);
    }
    const forward = this.#options.zones.find((one) => !isReverseZone(one)) ?? zone;
    const answer = services.map(({ name, namespace }) =>
      record(query.question.name, "PTR", this.#options.ttl, { host: joinName(`${name}.${namespace}`, forward) }),
    );
    return reply(query.message, { answer });
  }

  transfer(zone: string, serial: number): Iterable<ResourceRecord> | undefined {
    const { kubernetes } = this;
    if (kubernetes === undefined || !this.#options.zones.includes(zone) || isReverseZone(zone)) return undefined;
    const soa = this.#soa(kubernetes, zone);
    return serial !== 0 && serial === kubernetes.cluster.serial >>> 0 ? [soa] : this.#records(kubernetes, zone, soa);
  }

  /** All records of a zone, its SOA first and last. */
  *#records(kubernetes: KubernetesHandler, zone: string, soa: ResourceRecord): Iterable<ResourceRecord> {
    const { ttl } = this.#options;
    yield soa;
    yield* this.#nameServer(kubernetes, zone);
    for (const { name, namespace, ports } of kubernetes.cluster.directory.services()) {
      const base = `${name}.${namespace}`;
      const found = this.#find(kubernetes, base);
      if (found === undefined) continue;
      const owner = joinName(base, zone);
      const [host] = found.hosts;
      if (host !== undefined && found.targets.length === 0) yield record(owner, "CNAME", ttl, { host });
      yield* addressRecords(owner, "A", ttl, found.targets);
      yield* addressRecords(owner, "AAAA", ttl, found.targets);
      for (const { name: port, protocol } of ports) {
        const label = `_${port}._${protocol.toLowerCase()}.${base}`;
        const served = port === "" ? undefined : this.#find(kubernetes, label.toLowerCase());
        if (served === undefined) continue;
        const { answer, additional } = serviceRecords(joinName(label, zone), zone, ttl, served.targets);
        yield* answer;
        // Endpoints have names of their own; the Service's was given above.
        yield* additional.filter((one) => one.name !== owner);
      }
    }
    yield soa;
  }

  /** The zone itself: its SOA and its one name server. */
  #apex(query: Query, kubernetes: KubernetesHandler, zone: string): Outcome {
    if (query.type === TYPE.SOA) return reply(query.message, { answer: [this.#soa(kubernetes, zone)] });
    if (query.type !== TYPE.NS) return this.#negative(query, kubernetes, zone, RCODE.NOERROR);
    const [server, ...additional] = this.#nameServer(kubernetes, zone);
    return reply(query.message, { answer: [server], additional });
  }

  /** The NS record of a zone, and the addresses of its name server. */
  #nameServer(kubernetes: KubernetesHandler, zone: string): readonly [ResourceRecord, ...ResourceRecord[]] {
    const { apex, ttl } = this.#options;
    const host = joinName(`ns1.${apex}`, zone);
    const items = kubernetes.externalAddresses().map((address) => ({ address }));
    const addresses = [...addressRecords(host, "A", ttl, items), ...addressRecords(host, "AAAA", ttl, items)];
    return [record(zone, "NS", ttl, { host }), ...addresses];
  }

  /** The name server's own name. */
  #own(query: Query, kubernetes: KubernetesHandler, zone: string, base: string): Outcome {
    const { apex, ttl } = this.#options;
    if (base !== `ns1.${apex}`) {
      return this.#negative(query, kubernetes, zone, base === apex ? RCODE.NOERROR : RCODE.NXDOMAIN);
    }
    const items = kubernetes.externalAddresses().map((address) => ({ address }));
    const type = query.type === TYPE.A ? "A" : query.type === TYPE.AAAA ? "AAAA" : undefined;
    const answer = type === undefined ? [] : addressRecords(query.question.name, type, ttl, items);
    return answer.length > 0
      ? reply(query.message, { answer })
      : this.#negative(query, kubernetes, zone, RCODE.NOERROR);
  }

  #negative(query: Query, kubernetes: KubernetesHandler, zone: string, rcode: number): Outcome {
    return reply(query.message, { rcode, authority: [this.#soa(kubernetes, zone)] });
  }

  #soa({ cluster }: KubernetesHandler, zone: string): ResourceRecord {
    const { apex, ttl } = this.#options;
    return record(zone, "SOA", ttl, {
      primary: joinName(`ns1.${apex}`, zone),
      mailbox: joinName(`hostmaster.${apex}`, zone),
      serial: cluster.serial >>> 0,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: ttl,
    });
  }
}

/** What is found under a name. */
interface Found {
  readonly targets: readonly Target[];
  /** Names of the load balancer. */
  readonly hosts: readonly string[];
}

/** The ready endpoints of a headless Service, or the one that is named. */
function endpointsOf(
  slices: readonly DnsSlice[],
  base: string,
  wanted: string,
  matches: (port: NamedPort) => boolean,
): Found | undefined {
  const targets: Target[] = [];
  for (const { endpoints, ports } of slices) {
    for (const endpoint of endpoints) {
      const host = endpointName(endpoint);
      if (wanted !== "" && host !== wanted) continue;
      for (const port of ports) {
        if (matches(port)) targets.push({ address: endpoint.address, port: port.port, target: `${host}.${base}` });
      }
    }
  }
  return targets.length === 0 ? undefined : { targets, hosts: [] };
}

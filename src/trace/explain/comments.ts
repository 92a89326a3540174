/**
 * What Services are called by those who wrote the rules: names in comments and in names of chains, for where no API is
 * reachable. kube-proxy's iptables and nftables modes and Portolan's are known; IPVS and comments of IP sets have none. Pure.
 */
import type { Expression, Rule } from "../../kernel/nftables/index.ts";
import { type Address, addressFromBytes, tryParseAddress } from "../../net/address.ts";
import { formatHostPort, type Protocol, protocolFromNumber, tryParseHostPort } from "../../net/protocol.ts";
import type { Snapshot } from "../snapshot/types.ts";
import { commentOf, translateLegacy } from "../walk/legacy.ts";
import type { FullSet } from "../walk/sets.ts";

/** A port of a Service, as rules name it. */
export interface NamedPort {
  readonly namespace: string;
  readonly name: string;
  /** Empty for ports without a name. */
  readonly port: string;
}

/** Where rules serve a port of a Service. */
export interface NamedFrontEnd {
  readonly service: NamedPort;
  readonly kind: "cluster IP" | "external address" | "node port";
  /** Absent for node ports. */
  readonly address?: Address;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What rules say of Services. */
export interface RuleNames {
  readonly frontEnds: readonly NamedFrontEnd[];
  /** By address and port, as {@link formatHostPort} writes them. */
  readonly endpoints: ReadonlyMap<string, NamedPort>;
}

/** Collects the names in the rules of some places. */
export function namesInRules(snapshots: Iterable<Snapshot>): RuleNames {
  const frontEnds = new Map<string, NamedFrontEnd>();
  const endpoints = new Map<string, NamedPort>();
  const add = (each: NamedFrontEnd | undefined) => {
    if (each !== undefined) frontEnds.set(JSON.stringify(each), each);
  };
  const addEndpoint = (found: ReturnType<typeof endpointInComment>) => {
    if (found !== undefined && !endpoints.has(found.at)) endpoints.set(found.at, found.service);
  };
  for (const { nftables, iptables } of snapshots) {
    for (const rules of [nftables.rules, ...iptables.map((table) => translateLegacy(table).rules)]) {
      for (const rule of rules) {
        const comment = rule.comment ?? commentOf(rule.expressions);
        if (comment === undefined) continue;
        add(frontEndOfRule(rule, comment));
        addEndpoint(endpointInComment(comment));
      }
    }
    for (const { chain } of nftables.chains) addEndpoint(endpointInChain(chain));
    for (const set of nftables.sets) for (const each of frontEndsOfSet(set, nftables.sets)) add(each);
  }
  return { frontEnds: [...frontEnds.values()], endpoints };
}

/** `shop/web:http`. */
export function formatNamedPort({ namespace, name, port }: NamedPort): string {
  return `${namespace}/${name}${port === "" ? "" : `:${port}`}`;
}

const label = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?";
const servicePort = `(${label})/(${label})(?::(${label})?)?`;
const alone = new RegExp(`^${servicePort}$`);
const toAddress = new RegExp(
  `^${servicePort} (cluster IP|external IP|loadbalancer IP|has no endpoints|has no local endpoints)$`,
);
const toEndpoint = new RegExp(`^${servicePort} -> (\\S+)$`);
/** kube-proxy's names of chains: `service-ULMVA6XW-ns1/svc1/tcp/p80`, and for endpoints `…__10.180.0.1/80`. */
const chainOfService = new RegExp(
  `^(?:service|external|firewall)-[A-Z0-9]{8}-(${label})/(${label})/(?:tcp|udp|sctp)/(${label})?$`,
);
const chainOfEndpoint = new RegExp(
  `^endpoint-[A-Z0-9]{8}-(${label})/(${label})/(?:tcp|udp|sctp)/(${label})?__([0-9a-f.:]+)/(\\d{1,5})$`,
);

function namedPort([, namespace = "", name = "", port = ""]: RegExpExecArray): NamedPort {
  return { namespace, name, port };
}

/** The rule of an iptables mode that leads to a Service, or refuses in its place. */
function frontEndOfRule({ chain, table, expressions }: Rule, comment: string): NamedFrontEnd | undefined {
  const { address, protocol, port } = wantedBy(expressions);
  if (protocol === undefined || port === undefined) return undefined;
  if (chain === "KUBE-NODEPORTS" && table.endsWith("nat")) {
    const found = alone.exec(comment);
    return found === null ? undefined : { service: namedPort(found), kind: "node port", protocol, port };
  }
  const found = toAddress.exec(comment);
  if (found === null || !(chain === "KUBE-SERVICES" || chain === "KUBE-EXTERNAL-SERVICES")) return undefined;
  const service = namedPort(found);
  if (address === undefined) return { service, kind: "node port", protocol, port };
  const isCluster = chain === "KUBE-SERVICES" && found[4] !== "external IP" && found[4] !== "loadbalancer IP";
  return { service, kind: isCluster ? "cluster IP" : "external address", address, protocol, port };
}

/** The destination that a rule wants, as far as it names exactly one. */
function wantedBy(expressions: readonly Expression[]): {
  readonly address?: Address;
  readonly protocol?: Protocol;
  readonly port?: number;
} {
  let [address, protocol, port]: [Address?, Protocol?, number?] = [];
  let loaded: Expression | undefined;
  for (const each of expressions) {
    if (each.kind === "payload" || each.kind === "meta") loaded = each;
    else if (each.kind === "match") {
      const { name, info } = each;
      if ((name !== "tcp" && name !== "udp" && name !== "sctp") || info.length < 8) continue;
      protocol = name.toUpperCase() as Protocol;
      // The first and last destination port, in the host's order (`xt_tcpudp.h`, `xt_sctp.h`).
      const [first, last] = [4, 6].map((at) => new DataView(info.buffer, info.byteOffset).getUint16(at, true));
      if (first === last) port = first;
    } else if (each.kind === "cmp" && each.op === "eq") {
      const { data } = each;
      if (loaded?.kind === "meta" && loaded.key === "l4proto") protocol = protocolFromNumber(data[0] ?? 0);
      if (loaded?.kind !== "payload") continue;
      const { base, offset, length } = loaded;
      const isDestination = (offset === 16 && length === 4) || (offset === 24 && length === 16);
      if (base === "network" && isDestination && data.length === length) address = addressFromBytes(data);
      if (base === "network" && offset === 9 && length === 1) protocol = protocolFromNumber(data[0] ?? 0);
      if (base === "transport" && offset === 2 && length === 2) port = portIn(data, 0);
    } else loaded = undefined;
  }
  return {
    ...(address !== undefined && { address }),
    ...(protocol !== undefined && { protocol }),
    ...(port !== undefined && { port }),
  };
}

/** Maps from a destination, or from a port of the node, to what a Service does. */
const setsOfFrontEnds = new Set(["service-ips", "no-endpoint-services", "front-ends"]);
const setsOfNodePorts = new Set(["service-nodeports", "no-endpoint-nodeports", "node-ports"]);

function frontEndsOfSet(set: FullSet, sets: readonly FullSet[]): readonly NamedFrontEnd[] {
  const isNodePort = setsOfNodePorts.has(set.set);
  if (!isNodePort && !setsOfFrontEnds.has(set.set)) return [];
  const own = sets.find((each) => each.set === "cluster-ips" && each.family === set.family && each.table === set.table);
  const clusterIPs = new Set((own?.elements ?? []).map(({ key }) => Buffer.from(key).toString("hex")));
  return set.elements.flatMap(({ key, comment = "", verdict }): readonly NamedFrontEnd[] => {
    const next = verdict?.kind === "goto" || verdict?.kind === "jump" ? verdict.chain : "";
    const found = alone.exec(comment) ?? chainOfService.exec(next);
    // Address, protocol and port, each padded to four bytes.
    const at = key.length - 8;
    const protocol = protocolFromNumber(key[at] ?? 0);
    if (found === null || protocol === undefined || (isNodePort ? at !== 0 : at !== 4 && at !== 16)) return [];
    const service = namedPort(found);
    const port = portIn(key, at + 4);
    if (isNodePort) return [{ service, kind: "node port", protocol, port }];
    const bytes = key.slice(0, at);
    const kind = clusterIPs.has(Buffer.from(bytes).toString("hex")) ? "cluster IP" : "external address";
    return [{ service, kind, address: addressFromBytes(bytes), protocol, port }];
  });
}

const portIn = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

function endpointInComment(comment: string): { readonly at: string; readonly service: NamedPort } | undefined {
  const found = toEndpoint.exec(comment);
  const at = found === null ? undefined : tryParseHostPort(found[4] ?? "");
  if (found === null || at === undefined) return undefined;
  const address = tryParseAddress(at.host);
  return address === undefined ? undefined : { at: formatHostPort(address, at.port), service: namedPort(found) };
}

function endpointInChain(chain: string): { readonly at: string; readonly service: NamedPort } | undefined {
  const found = chainOfEndpoint.exec(chain);
  if (found === null) return undefined;
  const [, , , , written = "", port = ""] = found;
  // Names of chains have dots for the colons of an IPv6 address.
  const address = tryParseAddress(written) ?? tryParseAddress(written.replaceAll(".", ":"));
  return address === undefined ? undefined : { at: formatHostPort(address, Number(port)), service: namedPort(found) };
}

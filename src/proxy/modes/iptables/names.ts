/** The names of chains, the same as kube-proxy's, so that whatever people know, grep or monitor stays true. */
import { hash } from "node:crypto";
import { formatHostPort, type Protocol } from "../../../net/protocol.ts";
import { type Endpoint, formatServicePort, type ServicePortName } from "../../../service/decision.ts";

/** The chains that all services share. */
export const chains = {
  services: "KUBE-SERVICES",
  externalServices: "KUBE-EXTERNAL-SERVICES",
  nodePorts: "KUBE-NODEPORTS",
  postrouting: "KUBE-POSTROUTING",
  markMasq: "KUBE-MARK-MASQ",
  forward: "KUBE-FORWARD",
  proxyFirewall: "KUBE-PROXY-FIREWALL",
  kubeletFirewall: "KUBE-FIREWALL",
  canary: "KUBE-PROXY-CANARY",
} as const;

/** The chains of one service port, apart from those of its endpoints. */
export interface ServiceChains {
  /** Balances over the endpoints of pool "cluster". */
  readonly cluster: string;
  /** Balances over the endpoints of pool "local". */
  readonly local: string;
  /** Where all front ends but the cluster IP lead to. */
  readonly external: string;
  /** Lets the allowed sources of load-balancer IPs through to `external`. */
  readonly firewall: string;
}

/** The names of a service port's chains. */
export function serviceChains(service: ServicePortName): ServiceChains {
  const suffix = shortHash(formatServicePort(service) + lowerCase[service.protocol]);
  return {
    cluster: `KUBE-SVC-${suffix}`,
    local: `KUBE-SVL-${suffix}`,
    external: `KUBE-EXT-${suffix}`,
    firewall: `KUBE-FW-${suffix}`,
  };
}

/** The name of an endpoint's chain. */
export function endpointChain(service: ServicePortName, endpoint: Endpoint): string {
  const target = formatHostPort(endpoint.address, endpoint.port);
  return `KUBE-SEP-${shortHash(formatServicePort(service) + lowerCase[service.protocol] + target)}`;
}

/** Whether a chain's name is of the kinds that belong to one service port or endpoint. */
export function isServiceChain(name: string): boolean {
  return /^KUBE-(SVC|SVL|SEP|EXT|FW)-/.test(name);
}

/** Protocols as iptables writes them. */
export const lowerCase: Readonly<Record<Protocol, "tcp" | "udp" | "sctp">> = { TCP: "tcp", UDP: "udp", SCTP: "sctp" };

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** The first 16 characters of the base32 text (RFC 4648) of the SHA-256 sum: a chain's name has at most 28. */
function shortHash(text: string): string {
  const sum = hash("sha256", text, "buffer");
  let characters = "";
  for (let bit = 0; bit < 80; bit += 5) {
    const word = ((sum[bit >> 3] ?? 0) << 8) | (sum[(bit >> 3) + 1] ?? 0);
    characters += alphabet[(word >> (11 - (bit & 7))) & 31];
  }
  return characters;
}

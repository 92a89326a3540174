/**
 * From a decision to what the kernel needs for it. Pure. A virtual service of IPVS treats all its clients alike, so what
 * decisions say of single kinds of clients is put into sets, for fixed rules to look up.
 */
import type { Entry } from "../../../kernel/ipset/index.ts";
import { type ServiceKey, type ServiceSettings, serviceFlag } from "../../../kernel/ipvs/index.ts";
import { type Address, addressLength } from "../../../net/address.ts";
import { hostPrefix, prefixAddress } from "../../../net/prefix.ts";
import { formatHostPort, type Protocol } from "../../../net/protocol.ts";
import type { Decision, Endpoint, FrontEnd, Outcome } from "../../../service/decision.ts";
import type { Member, SetName } from "./sets.ts";

/** What all decisions of a family depend on. */
export interface CompileContext {
  /** The scheduler of services that name none. */
  readonly scheduler: string;
  /** Whether pods can be told from other clients. */
  readonly detector: boolean;
  /** The node's own addresses, those of kube-ipvs0 left out: they need not be bound. */
  readonly local: ReadonlySet<Address>;
  /** Those on which node ports answer. */
  readonly nodePorts: readonly Address[];
}

/** What a service port wants at one address, port and protocol. */
export interface Claim {
  readonly key: ServiceKey & { readonly kind: "address" };
  /** A node port gives way to a service that has this very address and port. */
  readonly rank: "address" | "node port";
  readonly settings: ServiceSettings;
  /** Sorted. Empty: no connection is balanced, but those that are there may end in peace. */
  readonly endpoints: readonly Endpoint[];
  /** Entries about this address, port and protocol: nobody else's. */
  readonly members: readonly Member[];
}

/** Everything that a decision wants. */
export interface Compiled {
  readonly claims: readonly Claim[];
  /** Entries that other decisions may want as well. */
  readonly shared: readonly Member[];
}

/** Compiles a decision. */
export function compile(decision: Decision, context: CompileContext): Compiled {
  const { protocol } = decision.service;
  const settings = settingsOf(decision, context);
  const claims: Claim[] = [];
  const shared: Member[] = [];
  for (const frontEnd of decision.frontEnds) {
    const endpoints = endpointsOf(frontEnd, decision, context);
    const at = (address: Address): Claim => {
      const key = { kind: "address", address, protocol, port: frontEnd.port } as const;
      const members = membersOf(frontEnd, { address, protocol, port: frontEnd.port }, context);
      return { key, rank: frontEnd.kind === "NodePort" ? "node port" : "address", settings, endpoints, members };
    };
    if (frontEnd.kind === "NodePort") {
      claims.push(...context.nodePorts.map(at));
      shared.push(...nodePortMembers(frontEnd, protocol));
    } else {
      claims.push(at(frontEnd.address));
      if (!context.local.has(frontEnd.address)) {
        shared.push({ set: "KUBE-IPVS-IPS", entry: { type: "hash:ip", address: frontEnd.address } });
      }
    }
  }
  for (const { address, port, local } of [...decision.cluster, ...decision.local]) {
    const entry = { type: "hash:ip,port,ip", address, protocol, port, second: address } as const;
    if (local) shared.push({ set: "KUBE-LOOP-BACK", entry });
  }
  const { healthCheckNodePort: port } = decision;
  if (port !== undefined) shared.push({ set: "KUBE-HEALTH-CHECK-NODE-PORT", entry: { type: "bitmap:port", port } });
  return { claims, shared };
}

/** Something of an address, port and protocol, as text that tells it from all others. */
export function placeOf({ protocol, address, port }: Claim["key"]): string {
  return `${protocol} ${formatHostPort(address, port)}`;
}

/**
 * How to schedule. IPVS remembers clients for each virtual service alone. Services with affinity use the Maglev hash of
 * the client's address, so that a client finds the same endpoint behind each front end of a service port.
 */
function settingsOf(decision: Decision, context: CompileContext): ServiceSettings {
  const { affinitySeconds, family, scheduler } = decision;
  const netmask = 8 * addressLength(family);
  const persistent = affinitySeconds > 0;
  const name = scheduler ?? (persistent ? "mh" : context.scheduler);
  const flags = (persistent ? serviceFlag.persistent : 0) | hashFlags(name, persistent);
  return { scheduler: name, flags, timeout: affinitySeconds, netmask };
}

/**
 * The hashes of the kernel would refuse clients whose endpoint waits for the end of its connections, if they were not
 * told to take another one.
 */
function hashFlags(scheduler: string, persistent: boolean): number {
  if (scheduler !== "mh" && scheduler !== "sh") return 0;
  return serviceFlag.hashFallback | (scheduler === "mh" && !persistent ? serviceFlag.hashPort : 0);
}

/** Everyone gets the endpoints that clients from outside get; where they get none, those of pods and this node. */
function endpointsOf({ outcomes }: FrontEnd, decision: Decision, context: CompileContext): readonly Endpoint[] {
  const { pod, node, other } = outcomes;
  const deciding = [other, ...(context.detector ? [pod] : []), node].find(({ kind }) => kind === "balance");
  return deciding?.kind === "balance" ? decision[deciding.pool] : [];
}

interface At {
  readonly address: Address;
  readonly protocol: Protocol;
  readonly port: number;
}

function membersOf(frontEnd: FrontEnd, at: At, context: CompileContext): Member[] {
  const entry: Entry = { type: "hash:ip,port", ...at };
  const { pod, node, other } = frontEnd.outcomes;
  const names: SetName[] = [];
  if (other.kind === "reject") names.push("KUBE-NO-ENDPOINTS");
  else if (other.kind === "drop") {
    const anyone = [node, ...(context.detector ? [pod] : [])].some(({ kind }) => kind === "balance");
    names.push(anyone ? "KUBE-NO-LOCAL-OUTSIDE" : "KUBE-NO-LOCAL-ENDPOINTS");
  }
  const local = keepsClients(other);
  const members: Member[] = [];
  switch (frontEnd.kind) {
    case "ClusterIP":
      names.push("KUBE-CLUSTER-IP");
      if (isMasqueraded(other) && (!context.detector || isMasqueraded(pod))) names.push("KUBE-MASQUERADE-ALL");
      break;
    case "ExternalIP":
      names.push(local ? "KUBE-EXTERNAL-IP-LOCAL" : "KUBE-EXTERNAL-IP");
      break;
    case "LoadBalancerIP":
      names.push("KUBE-LOAD-BALANCER");
      if (local) names.push("KUBE-LOAD-BALANCER-LOCAL");
      if (frontEnd.sources !== undefined) names.push("KUBE-LOAD-BALANCER-FW");
      for (const prefix of frontEnd.sources ?? []) {
        const second = prefixAddress(prefix);
        members.push(
          prefix === hostPrefix(second)
            ? { set: "KUBE-LOAD-BALANCER-SOURCE-IP", entry: { type: "hash:ip,port,ip", ...at, second } }
            : { set: "KUBE-LOAD-BALANCER-SOURCE-CIDR", entry: { type: "hash:ip,port,net", ...at, prefix } },
        );
      }
      break;
    case "NodePort":
      if (at.protocol !== "SCTP") break;
      names.push("KUBE-NODE-PORT-SCTP-HASH");
      if (local) names.push("KUBE-NODE-PORT-LOCAL-SCTP-HASH");
      break;
  }
  return [...members, ...names.map((set) => ({ set, entry }))];
}

function nodePortMembers(frontEnd: FrontEnd, protocol: Protocol): Member[] {
  if (protocol === "SCTP") return [];
  const entry: Entry = { type: "bitmap:port", port: frontEnd.port };
  const members: Member[] = [{ set: `KUBE-NODE-PORT-${protocol}`, entry }];
  if (keepsClients(frontEnd.outcomes.other)) members.push({ set: `KUBE-NODE-PORT-LOCAL-${protocol}`, entry });
  return members;
}

/** Whether clients from outside keep their addresses, or would if there were an endpoint for them: policy Local. */
function keepsClients(outcome: Outcome): boolean {
  return outcome.kind === "drop" || (outcome.kind === "balance" && !outcome.masquerade);
}

function isMasqueraded(outcome: Outcome): boolean {
  return outcome.kind === "balance" && outcome.masquerade;
}

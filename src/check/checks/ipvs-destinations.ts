import { formatHostPort, type Protocol } from "../../net/protocol.ts";
import type { BalancedService } from "../../trace/snapshot/types.ts";
import type { Facts } from "../facts.ts";
import { type Check, type Finding, some } from "../finding.ts";
import { addressesOf, endpointsOf, isUsable, serviceTitle, slicesByService } from "../services.ts";

type Found = Omit<Finding, "check">;

/** Virtual services of IPVS that do not lead where the EndpointSlices say. */
export const ipvsDestinations: Check = {
  name: "ipvs-destinations",
  about: "Whether the destinations of IPVS are the Services' endpoints, and those that are ready get connections.",
  seen: [
    "kubernetes/kubernetes#92019",
    "kubernetes/kubernetes#108319",
    "kubernetes/kubernetes#57841",
    "kubernetes/kubernetes#71071",
  ],
  run(facts) {
    const ports = portsOf(facts);
    return (facts.snapshot.ipvs?.services ?? []).flatMap((service) => problemsOf(service, ports, facts));
  },
};

/** A port of a Service, with the state of each endpoint by `address:port`. */
interface ServicePort {
  readonly title: string;
  readonly endpoints: ReadonlyMap<string, { readonly ready: boolean; readonly usable: boolean }>;
  /** Whether this node may send to all endpoints of the Service. */
  readonly everywhere: boolean;
}

function problemsOf(
  { key, destinations }: BalancedService,
  ports: ReadonlyMap<string, ServicePort>,
  { snapshot }: Facts,
): readonly Found[] {
  if (key.kind !== "address") return [];
  const isOwn = snapshot.addresses.some(
    ({ address, interface: index }) =>
      address === key.address && snapshot.links.find((link) => link.index === index)?.name !== "kube-ipvs0",
  );
  const port =
    ports.get(front(key.address, key.port, key.protocol)) ??
    (isOwn ? ports.get(front("node", key.port, key.protocol)) : undefined);
  if (port === undefined) return [];
  const { title, endpoints, everywhere } = port;
  const at = `${formatHostPort(key.address, key.port)}/${key.protocol}`;
  const name = (each: { readonly address: string; readonly port: number }) => formatHostPort(each.address, each.port);
  const problem = (message: string, remedy: string, command: string): Found => ({
    severity: "error",
    subject: `${title} ${at} in IPVS`,
    message,
    remedy,
    run: [command],
  });
  const flag = { TCP: "-t", UDP: "-u", SCTP: "--sctp-service" }[key.protocol];
  const balanced = formatHostPort(key.address, key.port);
  const gone = destinations.filter((each) => each.weight > 0 && !endpoints.has(name(each))).map(name);
  const idle = destinations.filter((each) => each.weight === 0 && endpoints.get(name(each))?.ready).map(name);
  const found: Found[] = [];
  if (gone.length > 0) {
    found.push(
      problem(
        `IPVS sends connections to ${title} (${at}) to ${some(gone)}, of which no EndpointSlice knows: they fail, or reach a pod that has the address now.`,
        "see whether the proxy runs and reaches the API server, and restart it",
        `ipvsadm -Ln ${flag} ${balanced}`,
      ),
    );
  }
  if (idle.length > 0) {
    found.push(
      problem(
        `IPVS sends no new connections to ${some(idle)} for ${title} (${at}), for the weight is 0, though the endpoint is ready: it was drained and never taken back.`,
        "restart the proxy; until it is up again, give the weight back",
        `ipvsadm -e ${flag} ${balanced} -r ${idle[0] ?? ""} -m -w 1`,
      ),
    );
  }
  if (everywhere && destinations.length === 0 && [...endpoints.values()].some(({ usable }) => usable)) {
    found.push(
      problem(
        `IPVS has no destination for ${title} (${at}), though the Service has endpoints: connections are refused.`,
        "see whether the proxy runs and reaches the API server, and restart it",
        `ipvsadm -Ln ${flag} ${balanced}`,
      ),
    );
  }
  return found;
}

function portsOf({ cluster }: Facts): ReadonlyMap<string, ServicePort> {
  const found = new Map<string, ServicePort>();
  if (cluster === undefined) return found;
  const slices = slicesByService(cluster);
  for (const service of cluster.services) {
    const title = serviceTitle(service);
    for (const { name, protocol, port, nodePort } of service.ports) {
      const endpoints = new Map(
        endpointsOf(slices.get(title) ?? [], { name, protocol }).map((each) => [
          formatHostPort(each.address, each.port),
          { ready: each.ready && !each.terminating, usable: isUsable(each) },
        ]),
      );
      const local = service.externalTrafficPolicy === "Local" || service.internalTrafficPolicy === "Local";
      const entry = { title, endpoints, everywhere: !local };
      for (const address of addressesOf(service)) found.set(front(address, port, protocol), entry);
      if (nodePort > 0) found.set(front("node", nodePort, protocol), entry);
    }
  }
  return found;
}

function front(address: string, port: number, protocol: Protocol): string {
  return `${address} ${port} ${protocol}`;
}

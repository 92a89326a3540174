/** Services: their description, defaults and table. What is allowed of them is in servicerules.ts. */
import {
  isObject,
  type Json,
  type JsonObject,
  listAt,
  numberAt,
  objectAt,
  sameJson,
  textAt,
  without,
} from "../json.ts";
import {
  bool,
  int,
  intOrString,
  list,
  listBy,
  of,
  oneOf,
  opaque,
  selector,
  str,
  strings,
  struct,
} from "../schema/schema.ts";
import { ageColumn, column, labelText, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { condition } from "./meta.ts";
import { validateService, validateServiceUpdate } from "./servicerules.ts";

const core = "io.k8s.api.core.v1";

const servicePort = struct(
  `${core}.ServicePort`,
  "A port of a Service, and where it leads.",
  {
    name: str("Name; needed where there is more than one port."),
    protocol: oneOf(["TCP", "UDP", "SCTP"], "TCP, UDP or SCTP.", "TCP"),
    appProtocol: str("Protocol above that, such as http, https or kubernetes.io/h2c."),
    port: int("Port of the Service, 1 to 65535."),
    targetPort: intOrString(
      "Port of the pods, as a number or the name of a container port; the same as port unless given.",
    ),
    nodePort: int("Port of every node, for NodePort and LoadBalancer Services; chosen by the server unless given."),
  },
  { required: ["port"] },
);

const serviceSpec = struct(`${core}.ServiceSpec`, "What a Service offers, and who serves it.", {
  type: oneOf(
    ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
    "How far the Service can be reached.",
    "ClusterIP",
  ),
  selector: selector("Labels of the pods that serve it; without any, its endpoints are written by hand."),
  ports: listBy(["port", "protocol"], servicePort, "Ports that it offers.", "port"),
  clusterIP: str(
    "Its address inside the cluster; chosen by the server unless given; None for a headless Service. Cannot change.",
  ),
  clusterIPs: strings("Its addresses, at most one of each family; the first is clusterIP."),
  ipFamilies: strings("Families of its addresses, IPv4 and IPv6, in order."),
  ipFamilyPolicy: oneOf(
    ["SingleStack", "PreferDualStack", "RequireDualStack"],
    "Whether it has addresses of both families.",
  ),
  externalIPs: strings("Further addresses whose traffic nodes take for it."),
  externalName: str("Name that it is an alias of, for ExternalName Services."),
  externalTrafficPolicy: oneOf(
    ["Cluster", "Local"],
    "Local keeps traffic from outside on the node it came to, and its source address.",
  ),
  internalTrafficPolicy: oneOf(["Cluster", "Local"], "Local keeps traffic from inside on the node it came from."),
  trafficDistribution: str("Preference for near endpoints: PreferClose, PreferSameZone or PreferSameNode."),
  healthCheckNodePort: int(
    "Port of nodes that says whether they have endpoints, for LoadBalancer Services with policy Local.",
  ),
  publishNotReadyAddresses: bool("True if pods that are not ready count as well."),
  sessionAffinity: oneOf(["None", "ClientIP"], "ClientIP sends a client to the same pod again.", "None"),
  sessionAffinityConfig: of(
    struct(`${core}.SessionAffinityConfig`, "Settings of session affinity.", {
      clientIP: of(
        struct(`${core}.ClientIPConfig`, "Settings of ClientIP affinity.", {
          timeoutSeconds: int("Seconds that a client is remembered, 1 to 86400."),
        }),
        "Settings of ClientIP affinity.",
      ),
    }),
    "Settings of session affinity.",
  ),
  allocateLoadBalancerNodePorts: bool("False if a LoadBalancer Service needs no node ports."),
  loadBalancerClass: str("The load balancer that takes care of it."),
  loadBalancerIP: str("Address that is asked of the load balancer."),
  loadBalancerSourceRanges: strings("Prefixes of clients that may use the load balancer."),
});

const serviceStatus = struct(`${core}.ServiceStatus`, "What a load balancer made of a Service.", {
  loadBalancer: of(
    struct(`${core}.LoadBalancerStatus`, "Addresses of the load balancer.", {
      ingress: list(
        struct(`${core}.LoadBalancerIngress`, "An address.", {
          ip: str("Address."),
          hostname: str("Name, where there is no address."),
          ipMode: str("VIP or Proxy."),
          ports: opaque("How its ports are."),
        }),
        "Addresses of the load balancer.",
      ),
    }),
    "Addresses of the load balancer.",
    {},
  ),
  conditions: listBy(["type"], condition, "Its aspects."),
});

function externalAddresses(service: JsonObject): string {
  const spec = objectAt(service, "spec");
  const ingress = listAt(service, "status", "loadBalancer", "ingress").map(
    (item) => textAt(item, "ip") || textAt(item, "hostname"),
  );
  const external = listAt(spec, "externalIPs").map(String);
  switch (textAt(spec, "type")) {
    case "ExternalName":
      return textAt(spec, "externalName");
    case "LoadBalancer":
      return [...ingress, ...external].join(",") || "<pending>";
    default:
      return external.join(",") || "<none>";
  }
}

function portText(service: JsonObject): string {
  const ports = listAt(service, "spec", "ports").map((port) => {
    const node = numberAt(port, ["nodePort"]);
    return `${numberAt(port, ["port"])}${node > 0 ? `:${node}` : ""}/${textAt(port, "protocol")}`;
  });
  return ports.join(",") || "<none>";
}

/** The Service with the defaults that depend on its type, and with what its previous state has and an update leaves out. */
export function prepareService(service: JsonObject, previous: JsonObject | undefined): JsonObject {
  const given = objectAt(service, "spec");
  // An empty address is none.
  const spec = given.clusterIP === "" ? without(given, "clusterIP") : given;
  const type = textAt(spec, "type");
  const external = type === "NodePort" || type === "LoadBalancer" || listAt(spec, "externalIPs").length > 0;
  const affinity = textAt(spec, "sessionAffinity");
  const seconds = objectAt(spec, "sessionAffinityConfig", "clientIP").timeoutSeconds ?? 10_800;
  const ports = listAt(spec, "ports").map((port) => {
    if (!isObject(port)) return port;
    const { targetPort } = port;
    return targetPort === undefined || targetPort === 0 || targetPort === ""
      ? { ...port, targetPort: port.port }
      : port;
  });
  const next: JsonObject = {
    ...(type === "ExternalName" ? {} : { internalTrafficPolicy: "Cluster" }),
    ...(external && type !== "ExternalName" ? { externalTrafficPolicy: "Cluster" } : {}),
    ...(type === "LoadBalancer" ? { allocateLoadBalancerNodePorts: true } : {}),
    ...spec,
    ...(ports.length > 0 ? { ports } : {}),
    ...(affinity === "ClientIP" ? { sessionAffinityConfig: { clientIP: { timeoutSeconds: seconds } } } : {}),
  };
  const spared =
    previous === undefined
      ? next
      : withoutLeftovers(keepAllocated(next, objectAt(previous, "spec")), objectAt(previous, "spec"));
  return { ...service, spec: spared, status: service.status ?? { loadBalancer: {} } };
}

const needsAddress = (spec: JsonObject) => textAt(spec, "type") !== "ExternalName";
const needsNodePorts = (spec: JsonObject) =>
  textAt(spec, "type") === "NodePort" ||
  (textAt(spec, "type") === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);

/** An update that does not mention what the server allocated keeps it. */
function keepAllocated(spec: JsonObject, previous: JsonObject): JsonObject {
  let next = spec;
  if (needsAddress(spec) && needsAddress(previous)) {
    const first = textAt(spec, "clusterIP") || String(listAt(spec, "clusterIPs")[0] ?? "");
    if (first === "") next = { ...next, clusterIP: previous.clusterIP, clusterIPs: previous.clusterIPs };
    else if (spec.clusterIPs === undefined && first === textAt(previous, "clusterIP"))
      next = { ...next, clusterIPs: previous.clusterIPs };
    else if (first !== textAt(previous, "clusterIP") && sameJson(spec.clusterIPs, previous.clusterIPs))
      // Whoever changes the one means the other, too, and is told that it cannot change.
      next = { ...next, clusterIPs: [first, ...listAt(spec, "clusterIPs").slice(1)] };
    if (spec.ipFamilies === undefined) next = { ...next, ipFamilies: previous.ipFamilies };
    if (spec.ipFamilyPolicy === undefined) next = { ...next, ipFamilyPolicy: previous.ipFamilyPolicy };
  }
  if (needsNodePorts(spec) && needsNodePorts(previous)) {
    const same = (a: Json, b: Json) =>
      numberAt(a, ["port"]) === numberAt(b, ["port"]) && textAt(a, "protocol") === textAt(b, "protocol");
    const ports = listAt(spec, "ports").map((port) => {
      const before = listAt(previous, "ports").find((other) => same(port, other));
      const kept = numberAt(before, ["nodePort"]);
      return isObject(port) && numberAt(port, ["nodePort"]) === 0 && kept > 0 ? { ...port, nodePort: kept } : port;
    });
    next = { ...next, ports };
  }
  if (wantsHealthPort(spec) && wantsHealthPort(previous) && numberAt(spec, ["healthCheckNodePort"]) === 0) {
    next = { ...next, healthCheckNodePort: previous.healthCheckNodePort };
  }
  return next;
}

/** An update to another type drops what only the old type had and the client did not touch. */
function withoutLeftovers(spec: JsonObject, previous: JsonObject): JsonObject {
  const drop: string[] = [];
  const same = (member: string) => JSON.stringify(spec[member]) === JSON.stringify(previous[member]);
  if (!needsAddress(spec) && needsAddress(previous)) {
    for (const member of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]) {
      if (same(member)) drop.push(member);
    }
  }
  const external = (item: JsonObject) =>
    ["NodePort", "LoadBalancer"].includes(textAt(item, "type")) || listAt(item, "externalIPs").length > 0;
  if (!external(spec) && external(previous) && same("externalTrafficPolicy")) drop.push("externalTrafficPolicy");
  if (!wantsHealthPort(spec) && wantsHealthPort(previous) && same("healthCheckNodePort"))
    drop.push("healthCheckNodePort");
  if (textAt(spec, "type") !== "LoadBalancer" && textAt(previous, "type") === "LoadBalancer") {
    for (const member of ["allocateLoadBalancerNodePorts", "loadBalancerClass"]) if (same(member)) drop.push(member);
  }
  const next = without(spec, ...drop);
  if (["NodePort", "LoadBalancer"].includes(textAt(spec, "type")) || !needsNodePorts(previous)) return next;
  const before = listAt(previous, "ports").map((port) => numberAt(port, ["nodePort"]));
  const ports = listAt(next, "ports").map((port) =>
    isObject(port) && before.includes(numberAt(port, ["nodePort"])) ? without(port, "nodePort") : port,
  );
  return { ...next, ports };
}

/** True if nodes tell a load balancer on a port of their own whether they have endpoints of the Service. */
export function wantsHealthPort(spec: JsonObject): boolean {
  return textAt(spec, "type") === "LoadBalancer" && textAt(spec, "externalTrafficPolicy") === "Local";
}

/** The kind Service. */
export const service = defineKind({
  kind: "Service",
  plural: "services",
  shortNames: ["svc"],
  categories: ["all"],
  status: true,
  selectable: ["spec.clusterIP", "spec.type"],
  schema: objectSchema(`${core}.Service`, "A stable name and address for a set of pods.", {
    spec: of(serviceSpec, "What it offers, and who serves it.", {}),
    status: of(serviceStatus, "What a load balancer made of it."),
  }),
  columns: [
    nameColumn,
    column("Type", "How far it can be reached.", (object) => textAt(object, "spec", "type")),
    column(
      "Cluster-IP",
      "Its address inside the cluster.",
      (object) => textAt(object, "spec", "clusterIP") || "<none>",
    ),
    column("External-IP", "Its addresses outside.", externalAddresses),
    column("Port(s)", "Its ports, with the node port after a colon.", portText),
    ageColumn,
    column(
      "Selector",
      "Labels of the pods that serve it.",
      (object) => labelText(objectAt(object, "spec", "selector")),
      { wide: true },
    ),
  ],
  prepare: prepareService,
  validate: validateService,
  validateUpdate: validateServiceUpdate,
});

/** EndpointSlices and Endpoints: who serves a Service. */
import { familyOf, tryParseAddress } from "../../../net/address.ts";
import { isPort } from "../../../net/protocol.ts";
import { invalid, notSupported, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, numberAt, textAt } from "../json.ts";
import { bool, int, labels, list, of, oneOf, str, struct } from "../schema/schema.ts";
import { validateReachable } from "./addresses.ts";
import { ageColumn, column, nameColumn, some } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { isDnsLabel, notDnsLabel, objectReference } from "./meta.ts";

const core = "io.k8s.api.core.v1";
const discovery = "io.k8s.api.discovery.v1";

const portFields = {
  name: str("Name of the port, as the Service has it."),
  port: int("Number of the port."),
  protocol: oneOf(["TCP", "UDP", "SCTP"], "TCP, UDP or SCTP.", "TCP"),
  appProtocol: str("Protocol above that."),
};

const named = (name: string, doc: string) => struct(name, doc, { name: str("Name.") }, { required: ["name"] });

const endpoint = struct(
  `${discovery}.Endpoint`,
  "One that serves the Service.",
  {
    addresses: {
      schema: { type: "list", items: { type: "string" }, kind: "set", keys: [] },
      doc: "Its addresses; only the first is used.",
    },
    conditions: of(
      struct(`${discovery}.EndpointConditions`, "How it is.", {
        ready: bool("True if it shall get new connections."),
        serving: bool("True if it answers, also while it is ending."),
        terminating: bool("True while it is ending."),
      }),
      "How it is.",
      {},
    ),
    hostname: str("Its host name."),
    targetRef: of(objectReference, "The pod that it is."),
    deprecatedTopology: labels("No longer used."),
    nodeName: str("Its node."),
    zone: str("Its zone."),
    hints: of(
      struct(`${discovery}.EndpointHints`, "Who should use it.", {
        forZones: list(named(`${discovery}.ForZone`, "A zone."), "Zones that should use it."),
        forNodes: list(named(`${discovery}.ForNode`, "A node."), "Nodes that should use it."),
      }),
      "Who should use it.",
    ),
  },
  { required: ["addresses"] },
);

const portText = (ports: readonly JsonObject[]) =>
  ports.map((port) => (port.port === undefined ? "*" : String(port.port)));

const addressTypes = ["FQDN", "IPv4", "IPv6"];

/** The kind EndpointSlice. */
export const endpointSlice = defineKind({
  group: "discovery.k8s.io",
  kind: "EndpointSlice",
  plural: "endpointslices",
  generation: true,
  schema: objectSchema(`${discovery}.EndpointSlice`, "Some of the endpoints of a Service, of one address family.", {
    addressType: oneOf(addressTypes, "IPv4, IPv6 or FQDN. Cannot change."),
    endpoints: list(endpoint, "The endpoints, at most 1000."),
    ports: list(
      struct(`${discovery}.EndpointPort`, "A port.", portFields, { atomic: true }),
      "Ports that every one of them serves.",
    ),
  }),
  columns: [
    nameColumn,
    column("AddressType", "Family of the addresses.", (object) => textAt(object, "addressType")),
    column("Ports", "Ports that every endpoint serves.", (object) => {
      const ports = portText(listAt(object, "ports").filter(isObject));
      return ports.length === 0 ? "<unset>" : some(ports, 3);
    }),
    column("Endpoints", "Their addresses.", (object) => {
      const addresses = listAt(object, "endpoints").flatMap((item) => listAt(item, "addresses").map(String));
      return addresses.length === 0 ? "<unset>" : some(addresses, 3);
    }),
    ageColumn,
  ],
  validate: (object) => {
    const type = textAt(object, "addressType");
    const problems: Problem[] = [];
    if (type === "") problems.push(required("addressType"));
    else if (!addressTypes.includes(type)) problems.push(notSupported("addressType", type, addressTypes));
    const endpoints = listAt(object, "endpoints");
    if (endpoints.length > 1000) problems.push(tooMany("endpoints", endpoints.length, 1000));
    for (const [i, item] of endpoints.entries()) {
      const addresses = listAt(item, "addresses");
      const field = `endpoints[${i}].addresses`;
      if (addresses.length === 0) problems.push(required(field, "must contain at least 1 address"));
      if (addresses.length > 100) problems.push(tooMany(field, addresses.length, 100));
      for (const [j, value] of addresses.entries()) {
        const address = tryParseAddress(String(value));
        if (type !== "FQDN" && (address === undefined || familyOf(address) !== type)) {
          const kind = type === "IPv6" ? "an IPv6" : "an IPv4";
          problems.push(invalid(`${field}[${j}]`, value, `must be ${kind} address`));
        } else if (address !== undefined) problems.push(...validateReachable(`${field}[${j}]`, address));
      }
    }
    return [...problems, ...validatePorts(listAt(object, "ports").filter(isObject), "ports")];
  },
  validateUpdate: (object, previous) => {
    const type = textAt(object, "addressType");
    return type === textAt(previous, "addressType") ? [] : [invalid("addressType", type, "field is immutable")];
  },
});

function tooMany(field: string, count: number, limit: number): Problem {
  const message = `Too many: ${count}: must have at most ${limit} items`;
  return { reason: "FieldValueTooMany", field, message };
}

function validatePorts(ports: readonly JsonObject[], field: string): readonly Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const here = `${field}[${i}]`;
    const name = textAt(port, "name");
    if (names.has(name))
      problems.push({ reason: "FieldValueDuplicate", field: `${here}.name`, message: `Duplicate value: "${name}"` });
    names.add(name);
    if (name !== "" && !isDnsLabel(name)) problems.push(invalid(`${here}.name`, name, notDnsLabel));
    if (port.port !== undefined && !isPort(port.port)) {
      problems.push(invalid(`${here}.port`, port.port, "must be between 1 and 65535, inclusive"));
    }
    const protocol = textAt(port, "protocol");
    if (!["TCP", "UDP", "SCTP"].includes(protocol))
      problems.push(notSupported(`${here}.protocol`, protocol, ["TCP", "UDP", "SCTP"]));
  }
  return problems;
}

const endpointAddress = struct(
  `${core}.EndpointAddress`,
  "An address.",
  {
    ip: str("Address."),
    hostname: str("Host name."),
    nodeName: str("Node."),
    targetRef: of(objectReference, "The pod that it is."),
  },
  { required: ["ip"], atomic: true },
);

const subset = struct(`${core}.EndpointSubset`, "Addresses that serve the same ports.", {
  addresses: list(endpointAddress, "Addresses that are ready."),
  notReadyAddresses: list(endpointAddress, "Addresses that are not."),
  ports: list(
    struct(`${core}.EndpointPort`, "A port.", portFields, { required: ["port"], atomic: true }),
    "Ports that they serve.",
  ),
});

/** The kind Endpoints: the older form of EndpointSlices, one object per Service. */
export const endpoints = defineKind({
  kind: "Endpoints",
  plural: "endpoints",
  shortNames: ["ep"],
  createOnUpdate: true,
  schema: objectSchema(
    `${core}.Endpoints`,
    "The endpoints of a Service in one object. EndpointSlices have replaced it.",
    {
      subsets: list(subset, "Addresses by the ports that they serve."),
    },
  ),
  columns: [
    nameColumn,
    column("Endpoints", "Addresses with ports.", (object) => {
      const all = listAt(object, "subsets").flatMap((item) =>
        listAt(item, "ports").flatMap((port) =>
          listAt(item, "addresses").map((address) => {
            const ip = textAt(address, "ip");
            return `${ip.includes(":") ? `[${ip}]` : ip}:${numberAt(port, ["port"])}`;
          }),
        ),
      );
      return some(all, 3);
    }),
    ageColumn,
  ],
  validate: (object) =>
    listAt(object, "subsets").flatMap((item, i) => [
      ...(listAt(item, "addresses").length + listAt(item, "notReadyAddresses").length === 0
        ? [required(`subsets[${i}]`, "must specify `addresses` or `notReadyAddresses`")]
        : []),
      ...validatePorts(listAt(item, "ports").filter(isObject), `subsets[${i}].ports`),
      ...["addresses", "notReadyAddresses"].flatMap((member) =>
        listAt(item, member).flatMap((address, j) => {
          const ip = textAt(address, "ip");
          const field = `subsets[${i}].${member}[${j}].ip`;
          const parsed = tryParseAddress(ip);
          return parsed === undefined
            ? [invalid(field, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
            : validateReachable(field, parsed);
        }),
      ),
    ]),
});

/** Ingresses and their classes. */
import { tryParseAddress } from "../../../net/address.ts";
import { invalid, notSupported, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, numberAt, objectAt, textAt } from "../json.ts";
import { int, list, of, oneOf, opaque, str, strings, struct } from "../schema/schema.ts";
import { ageColumn, column, nameColumn, some } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { isDnsName, notDnsName } from "./meta.ts";

const networking = "io.k8s.api.networking.v1";
const group = "networking.k8s.io";

const reference = struct(
  "io.k8s.api.core.v1.TypedLocalObjectReference",
  "Points at an object of the same namespace.",
  { apiGroup: str("API group."), kind: str("Kind."), name: str("Name.") },
  { required: ["kind", "name"], atomic: true },
);

const backend = struct(`${networking}.IngressBackend`, "Where requests go.", {
  service: of(
    struct(
      `${networking}.IngressServiceBackend`,
      "A port of a Service.",
      {
        name: str("Name of the Service."),
        port: of(
          struct(
            `${networking}.ServiceBackendPort`,
            "A port, by name or number.",
            { name: str("Name."), number: int("Number.") },
            { atomic: true },
          ),
          "The port.",
        ),
      },
      { required: ["name"] },
    ),
    "A port of a Service.",
  ),
  resource: of(reference, "Another object, instead of a Service."),
});

const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];

const rule = struct(`${networking}.IngressRule`, "Requests for a host.", {
  host: str("The host; *.example.com for any first label; empty for every host."),
  http: of(
    struct(
      `${networking}.HTTPIngressRuleValue`,
      "Paths of the host.",
      {
        paths: list(
          struct(
            `${networking}.HTTPIngressPath`,
            "A path.",
            {
              path: str("The path."),
              pathType: oneOf(pathTypes, "Exact, Prefix or ImplementationSpecific."),
              backend: of(backend, "Where requests go."),
            },
            { required: ["pathType", "backend"] },
          ),
          "The paths.",
        ),
      },
      { required: ["paths"] },
    ),
    "Paths of the host.",
  ),
});

const address = struct(`${networking}.IngressLoadBalancerIngress`, "An address.", {
  ip: str("Address."),
  hostname: str("Name."),
  ports: opaque("How its ports are."),
});

/** The kind Ingress. */
export const ingress = defineKind({
  group,
  kind: "Ingress",
  plural: "ingresses",
  shortNames: ["ing"],
  status: true,
  generation: true,
  schema: objectSchema(`${networking}.Ingress`, "Leads HTTP requests from outside to Services, by host and path.", {
    spec: of(
      struct(`${networking}.IngressSpec`, "Which requests go where.", {
        ingressClassName: str("The IngressClass, and by it the controller, that takes care of it."),
        defaultBackend: of(backend, "Where requests go that no rule takes."),
        rules: list(rule, "Rules by host."),
        tls: list(
          struct(`${networking}.IngressTLS`, "A certificate.", {
            hosts: strings("Hosts that it is for."),
            secretName: str("The Secret that holds it."),
          }),
          "Certificates.",
        ),
      }),
      "Which requests go where.",
    ),
    status: of(
      struct(`${networking}.IngressStatus`, "Where it can be reached.", {
        loadBalancer: of(
          struct(`${networking}.IngressLoadBalancerStatus`, "Addresses.", { ingress: list(address, "Addresses.") }),
          "Addresses.",
          {},
        ),
      }),
      "Where it can be reached.",
    ),
  }),
  columns: [
    nameColumn,
    column("Class", "Its IngressClass.", (object) => textAt(object, "spec", "ingressClassName") || "<none>"),
    column("Hosts", "Hosts of its rules.", (object) => {
      const hosts = listAt(object, "spec", "rules").map((item) => textAt(item, "host") || "*");
      return hosts.length === 0 ? "*" : some(hosts, 3);
    }),
    column("Address", "Where it can be reached.", (object) =>
      listAt(object, "status", "loadBalancer", "ingress")
        .map((item) => textAt(item, "ip") || textAt(item, "hostname"))
        .join(","),
    ),
    column("Ports", "Ports that it uses.", (object) => (listAt(object, "spec", "tls").length > 0 ? "80, 443" : "80")),
    ageColumn,
  ],
  prepare: (object) => (object.status === undefined ? { ...object, status: { loadBalancer: {} } } : object),
  validate: validateIngress,
});

function validateIngress(object: JsonObject): readonly Problem[] {
  const spec = objectAt(object, "spec");
  const problems: Problem[] = [];
  if (spec.defaultBackend === undefined && listAt(spec, "rules").length === 0) {
    problems.push(invalid("spec", spec, "either `defaultBackend` or `rules` must be specified"));
  }
  if (isObject(spec.defaultBackend)) problems.push(...validateBackend(spec.defaultBackend, "spec.defaultBackend"));
  for (const [i, item] of listAt(spec, "rules").entries()) {
    const host = textAt(item, "host");
    const field = `spec.rules[${i}]`;
    if (tryParseAddress(host) !== undefined)
      problems.push(invalid(`${field}.host`, host, "must be a DNS name, not an IP address"));
    else if (host !== "" && !isDnsName(host.replace(/^\*\./, "")))
      problems.push(invalid(`${field}.host`, host, notDnsName));
    if (objectAt(item, "http").paths !== undefined && listAt(item, "http", "paths").length === 0) {
      problems.push(required(`${field}.http.paths`));
    }
    for (const [j, path] of listAt(item, "http", "paths").filter(isObject).entries()) {
      const here = `${field}.http.paths[${j}]`;
      const type = textAt(path, "pathType");
      const text = textAt(path, "path");
      if (type === "") problems.push(required(`${here}.pathType`, "pathType must be specified"));
      else if (!pathTypes.includes(type)) problems.push(notSupported(`${here}.pathType`, type, pathTypes));
      if (type !== "ImplementationSpecific" && !text.startsWith("/")) {
        problems.push(invalid(`${here}.path`, text, "must be an absolute path"));
      } else if (type !== "ImplementationSpecific" && /\/\/|\/\.\.?(\/|$)|%2[fF]|#/.test(text)) {
        problems.push(invalid(`${here}.path`, text, "must not contain '//', '/./', '/../', '%2f' or '#'"));
      }
      problems.push(...validateBackend(objectAt(path, "backend"), `${here}.backend`));
    }
  }
  return problems;
}

function validateBackend(value: JsonObject, field: string): readonly Problem[] {
  if (value.resource !== undefined && value.service !== undefined) {
    return [invalid(field, "", "cannot set both resource and service backends")];
  }
  if (value.resource !== undefined) return [];
  if (value.service === undefined) return [required(field, "resource or service backend is required")];
  const name = textAt(value, "service", "name");
  const port = objectAt(value, "service", "port");
  const problems: Problem[] = name === "" ? [required(`${field}.service.name`)] : [];
  const number = numberAt(port, ["number"]);
  if (port.name !== undefined && port.number !== undefined) {
    problems.push(invalid(`${field}.service.port`, "", "cannot set both port name & port number"));
  } else if (port.name === undefined && port.number === undefined) {
    problems.push(required(`${field}.service.port`, "port name or number is required"));
  } else if (port.number !== undefined && (number < 1 || number > 65535)) {
    problems.push(invalid(`${field}.service.port.number`, number, "must be between 1 and 65535, inclusive"));
  }
  return problems;
}

/** The kind IngressClass. */
export const ingressClass = defineKind({
  group,
  kind: "IngressClass",
  plural: "ingressclasses",
  namespaced: false,
  generation: true,
  schema: objectSchema(`${networking}.IngressClass`, "Names a controller of Ingresses.", {
    spec: of(
      struct(`${networking}.IngressClassSpec`, "The controller.", {
        controller: str("Name of the controller, with a domain before it. Cannot change."),
        parameters: opaque("An object with further settings."),
      }),
      "The controller.",
    ),
  }),
  columns: [
    nameColumn,
    column("Controller", "Name of the controller.", (object) => textAt(object, "spec", "controller")),
    column("Parameters", "An object with further settings.", (object) => {
      const kind = textAt(object, "spec", "parameters", "kind");
      const domain = textAt(object, "spec", "parameters", "apiGroup");
      return kind === ""
        ? "<none>"
        : `${kind}${domain === "" ? "" : `.${domain}`}/${textAt(object, "spec", "parameters", "name")}`;
    }),
    ageColumn,
  ],
  validate: (object) => (textAt(object, "spec", "controller") === "" ? [required("spec.controller")] : []),
  validateUpdate: (object, previous) => {
    const controller = textAt(object, "spec", "controller");
    return controller === textAt(previous, "spec", "controller")
      ? []
      : [invalid("spec.controller", controller, "field is immutable")];
  },
});

/** What is allowed of Services, in the words of upstream's validation. */
import { familyOf, tryParseAddress } from "../../../net/address.ts";
import { tryParsePrefix } from "../../../net/prefix.ts";
import { isPort } from "../../../net/protocol.ts";
import { duplicate, invalid, notAllowed, notSupported, type Problem, required } from "../errors.ts";
import { isObject, type JsonObject, listAt, numberAt, objectAt, textAt } from "../json.ts";
import { validateReachable } from "./addresses.ts";
import { isDnsLabel, isDnsName, notDnsLabel, notDnsName, validateLabels } from "./meta.ts";

const portRange = "must be between 1 and 65535, inclusive";
const families = ["IPv4", "IPv6"];
const policies = ["Cluster", "Local"];
const notAddress = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/** What is wrong with a Service that has its defaults. Addresses and node ports that are taken are found on allocation. */
export function validateService(service: JsonObject): readonly Problem[] {
  const spec = objectAt(service, "spec");
  return [
    ...validateType(spec),
    ...validatePorts(spec),
    ...validateLabels("spec.selector", objectAt(spec, "selector")),
    ...validateAffinity(spec),
    ...validateAddresses(spec),
    ...validateFamilies(spec),
    ...validatePolicies(spec),
    ...validateLoadBalancer(spec),
  ];
}

function headless(spec: JsonObject): boolean {
  return textAt(spec, "clusterIP") === "None" || listAt(spec, "clusterIPs")[0] === "None";
}

function validateType(spec: JsonObject): readonly Problem[] {
  const type = textAt(spec, "type");
  const problems: Problem[] = [];
  const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
  if (!types.includes(type)) return [notSupported("spec.type", type, types)];
  if (type === "ExternalName") {
    const name = textAt(spec, "externalName").replace(/\.$/, "");
    if (textAt(spec, "clusterIP") !== "" || listAt(spec, "clusterIPs").length > 0) {
      problems.push(notAllowed("spec.clusterIPs", "may not be set for ExternalName services"));
    }
    for (const member of ["ipFamilies", "ipFamilyPolicy"]) {
      if (spec[member] !== undefined)
        problems.push(notAllowed(`spec.${member}`, "may not be set for ExternalName services"));
    }
    if (name === "") problems.push(required("spec.externalName"));
    else if (!isDnsName(name.toLowerCase())) problems.push(invalid("spec.externalName", name, notDnsName));
  } else if (headless(spec) && (type === "NodePort" || type === "LoadBalancer")) {
    problems.push(invalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`));
  }
  return problems;
}

function validatePorts(spec: JsonObject): readonly Problem[] {
  const type = textAt(spec, "type");
  const ports = listAt(spec, "ports").filter(isObject);
  const problems: Problem[] = [];
  if (ports.length === 0 && !headless(spec) && type !== "ExternalName") problems.push(required("spec.ports"));
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const field = `spec.ports[${i}]`;
    const name = textAt(port, "name");
    const protocol = textAt(port, "protocol");
    const number = port.port;
    const node = numberAt(port, ["nodePort"]);
    if (name === "" && ports.length > 1) problems.push(required(`${field}.name`));
    else if (name !== "" && !isDnsLabel(name)) problems.push(invalid(`${field}.name`, name, notDnsLabel));
    else if (name !== "" && names.has(name)) problems.push(duplicate(`${field}.name`, name));
    names.add(name);
    if (!isPort(number)) problems.push(invalid(`${field}.port`, number ?? 0, portRange));
    if (protocol === "") problems.push(required(`${field}.protocol`));
    else if (!["TCP", "UDP", "SCTP"].includes(protocol)) {
      problems.push(notSupported(`${field}.protocol`, protocol, ["TCP", "UDP", "SCTP"]));
    }
    problems.push(...validateTarget(port, `${field}.targetPort`));
    const application = textAt(port, "appProtocol");
    if (application !== "" && !/^([a-z0-9.-]+\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(application)) {
      problems.push(
        invalid(
          `${field}.appProtocol`,
          application,
          "must be the name of a protocol, with or without a domain before it",
        ),
      );
    }
    if (type === "LoadBalancer" && number === 10250) {
      problems.push(
        invalid(`${field}.port`, 10250, "may not expose port 10250 externally since it is used by kubelet"),
      );
    }
    if (numbers.has(`${number}/${protocol}`)) problems.push(duplicate(field, { port: number ?? 0, protocol }));
    numbers.add(`${number}/${protocol}`);
    if (node === 0) continue;
    if (type === "ClusterIP")
      problems.push(notAllowed(`${field}.nodePort`, "may not be used when `type` is 'ClusterIP'"));
    if (type === "ExternalName")
      problems.push(notAllowed(`${field}.nodePort`, "may not be used when `type` is 'ExternalName'"));
    if (!isPort(node)) problems.push(invalid(`${field}.nodePort`, node, portRange));
    if (nodePorts.has(`${node}/${protocol}`)) problems.push(duplicate(`${field}.nodePort`, node));
    nodePorts.add(`${node}/${protocol}`);
  }
  return problems;
}

function validateTarget(port: JsonObject, field: string): readonly Problem[] {
  const target = port.targetPort;
  if (typeof target === "number") return isPort(target) ? [] : [invalid(field, target, portRange)];
  const text = typeof target === "string" ? target : "";
  if (text.length > 15) return [invalid(field, text, "must be no more than 15 characters")];
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text)) {
    return [invalid(field, text, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")];
  }
  if (!/[a-z]/.test(text)) return [invalid(field, text, "must contain at least one letter (a-z)")];
  return text.includes("--") ? [invalid(field, text, "must not contain consecutive hyphens")] : [];
}

function validateAffinity(spec: JsonObject): readonly Problem[] {
  const affinity = textAt(spec, "sessionAffinity");
  if (affinity !== "None" && affinity !== "ClientIP")
    return [notSupported("spec.sessionAffinity", affinity, ["ClientIP", "None"])];
  const config = spec.sessionAffinityConfig;
  if (affinity === "None") {
    if (config === undefined) return [];
    return [notAllowed("spec.sessionAffinityConfig", "must not be set when session affinity is None")];
  }
  const seconds = numberAt(config, ["clientIP", "timeoutSeconds"]);
  const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  return seconds > 0 && seconds <= 86_400
    ? []
    : [invalid(field, seconds, "must be greater than 0 and less than 86400")];
}

function validateAddresses(spec: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  const ips = listAt(spec, "clusterIPs").map(String);
  const first = textAt(spec, "clusterIP");
  if (textAt(spec, "type") !== "ExternalName") {
    if (first !== "" && ips.length > 0 && ips[0] !== first) {
      problems.push(invalid("spec.clusterIPs[0]", ips, "first value must match `clusterIP`"));
    }
    if (first === "" && ips.length > 0)
      problems.push(required("spec.clusterIP", "must be set when `clusterIPs` is set"));
    if (ips.length > 2) problems.push(invalid("spec.clusterIPs", ips, "may only hold up to 2 values"));
    for (const [i, ip] of (ips.length > 0 ? ips : first === "" ? [] : [first]).entries()) {
      if (ip === "None") {
        if (i > 0 || ips.length > 1)
          problems.push(invalid("spec.clusterIPs", ips, "'None' must be the first and only value"));
      } else if (tryParseAddress(ip) === undefined) problems.push(invalid(`spec.clusterIPs[${i}]`, ip, notAddress));
      else if (ips.indexOf(ip) < i) problems.push(duplicate(`spec.clusterIPs[${i}]`, ip));
    }
    const parsed = ips.flatMap((ip) => tryParseAddress(ip) ?? []);
    if (
      parsed.length === 2 &&
      parsed[0] !== undefined &&
      parsed[1] !== undefined &&
      familyOf(parsed[0]) === familyOf(parsed[1])
    ) {
      problems.push(invalid("spec.clusterIPs", ips, "may specify no more than one IP for each IP family"));
    }
  }
  for (const [i, value] of listAt(spec, "externalIPs").entries()) {
    const field = `spec.externalIPs[${i}]`;
    const address = tryParseAddress(String(value));
    problems.push(...(address === undefined ? [invalid(field, value, notAddress)] : validateReachable(field, address)));
  }
  return problems;
}

function validateFamilies(spec: JsonObject): readonly Problem[] {
  if (textAt(spec, "type") === "ExternalName") return [];
  const problems: Problem[] = [];
  const given = listAt(spec, "ipFamilies").map(String);
  for (const [i, family] of given.entries()) {
    if (!families.includes(family)) problems.push(notSupported(`spec.ipFamilies[${i}]`, family, families));
    else if (given.indexOf(family) < i) problems.push(duplicate(`spec.ipFamilies[${i}]`, family));
  }
  const ips = listAt(spec, "clusterIPs").map(String);
  for (const [i, ip] of ips.entries()) {
    const address = tryParseAddress(ip);
    const family = given[i];
    if (address !== undefined && family !== undefined && familyOf(address) !== family) {
      problems.push(
        invalid(`spec.clusterIPs[${i}]`, ip, `expected an ${family} value as indicated by \`ipFamilies[${i}]\``),
      );
    }
  }
  const policy = spec.ipFamilyPolicy;
  const known = ["SingleStack", "PreferDualStack", "RequireDualStack"];
  if (policy !== undefined && !known.includes(String(policy)))
    problems.push(notSupported("spec.ipFamilyPolicy", policy, known));
  return problems;
}

function validatePolicies(spec: JsonObject): readonly Problem[] {
  const type = textAt(spec, "type");
  const problems: Problem[] = [];
  const external = spec.externalTrafficPolicy;
  const reachable =
    type === "NodePort" || type === "LoadBalancer" || (type === "ClusterIP" && listAt(spec, "externalIPs").length > 0);
  if (external !== undefined && !reachable) {
    problems.push(
      invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"),
    );
  } else if (external !== undefined && !policies.includes(String(external))) {
    problems.push(notSupported("spec.externalTrafficPolicy", external, policies));
  }
  const internal = spec.internalTrafficPolicy;
  if (internal !== undefined && !policies.includes(String(internal))) {
    problems.push(notSupported("spec.internalTrafficPolicy", internal, policies));
  }
  const health = numberAt(spec, ["healthCheckNodePort"]);
  if (health !== 0 && (type !== "LoadBalancer" || external !== "Local")) {
    const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    problems.push(invalid("spec.healthCheckNodePort", health, why));
  }
  const distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
  const distribution = spec.trafficDistribution;
  if (distribution !== undefined && !distributions.includes(String(distribution))) {
    problems.push(notSupported("spec.trafficDistribution", distribution, distributions));
  }
  return problems;
}

function validateLoadBalancer(spec: JsonObject): readonly Problem[] {
  const problems: Problem[] = [];
  const balanced = textAt(spec, "type") === "LoadBalancer";
  const only = "may only be used when `type` is 'LoadBalancer'";
  for (const member of ["allocateLoadBalancerNodePorts", "loadBalancerClass"]) {
    if (spec[member] !== undefined && !balanced) problems.push(notAllowed(`spec.${member}`, only));
  }
  const ranges = listAt(spec, "loadBalancerSourceRanges");
  if (ranges.length > 0 && !balanced) problems.push(notAllowed("spec.loadBalancerSourceRanges", only));
  for (const [i, range] of ranges.entries()) {
    if (tryParsePrefix(String(range).trim()) === undefined) {
      const why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
      problems.push(invalid(`spec.loadBalancerSourceRanges[${i}]`, range, why));
    }
  }
  return problems;
}

/** What is wrong with a change of a Service: the first cluster IP and family stay, as does the health check port. */
export function validateServiceUpdate(service: JsonObject, previous: JsonObject): readonly Problem[] {
  const spec = objectAt(service, "spec");
  const before = objectAt(previous, "spec");
  if (textAt(spec, "type") === "ExternalName" || textAt(before, "type") === "ExternalName") return [];
  const problems: Problem[] = [];
  const ips = listAt(spec, "clusterIPs").map(String);
  const old = listAt(before, "clusterIPs").map(String);
  const fixed = "may not change once set";
  if (old[0] !== undefined && ips[0] !== old[0]) problems.push(invalid("spec.clusterIPs[0]", ips, fixed));
  if (old[1] !== undefined && ips[1] !== undefined && ips[1] !== old[1]) {
    problems.push(invalid("spec.clusterIPs[1]", ips, fixed));
  }
  const family = listAt(spec, "ipFamilies")[0];
  const oldFamily = listAt(before, "ipFamilies")[0];
  if (oldFamily !== undefined && family !== oldFamily)
    problems.push(invalid("spec.ipFamilies[0]", family ?? "", fixed));
  const health = numberAt(spec, ["healthCheckNodePort"]);
  const oldHealth = numberAt(before, ["healthCheckNodePort"]);
  if (health !== 0 && oldHealth !== 0 && health !== oldHealth) {
    problems.push(invalid("spec.healthCheckNodePort", health, "field is immutable"));
  }
  const both = textAt(spec, "type") === "LoadBalancer" && textAt(before, "type") === "LoadBalancer";
  if (both && before.loadBalancerClass !== undefined && spec.loadBalancerClass !== before.loadBalancerClass) {
    problems.push(invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, fixed));
  }
  return problems;
}

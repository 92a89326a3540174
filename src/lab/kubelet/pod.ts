/** Pods of the API, reduced to what a node needs to run one. */
import { type Fields, isFields, noFields, Problems } from "../../kube/objects/fields.ts";
import { identityOf } from "../../kube/objects/metadata.ts";
import type { Projected, Resource } from "../../kube/objects/resource.ts";

/** A pod to be run. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly hostNetwork: boolean;
  readonly hostname: string;
  /** With the host name the pod's name in DNS, where it is not empty. */
  readonly subdomain: string;
  readonly serviceAccount: string;
  readonly restartPolicy: "Always" | "OnFailure" | "Never";
  readonly dnsPolicy: string;
  /** What its resolv.conf has beside what its policy gives. */
  readonly dns: DnsConfig;
  readonly hostAliases: readonly { readonly ip: string; readonly names: readonly string[] }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly initContainers: readonly PodContainer[];
  readonly containers: readonly PodContainer[];
  readonly readinessGates: readonly string[];
  /** Types of the conditions that are true. */
  readonly conditions: readonly string[];
  /** Seconds that it has to end; present once it is to end. */
  readonly deletion?: { readonly graceSeconds: number };
  /** The address it had when it was last seen. */
  readonly address: string;
  readonly phase: string;
}

/** Lines of a resolv.conf. */
export interface DnsConfig {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  /** `value` is empty for those that have none. */
  readonly options: readonly { readonly name: string; readonly value: string }[];
}

/** A container of a pod. */
export interface PodContainer {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  /** Objects whose entries are all variables, before those of `env`. */
  readonly envFrom: readonly EnvSource[];
  readonly env: readonly EnvVariable[];
  readonly ports: readonly ContainerPort[];
  /** True if its program has an input that clients can attach to; `stdinOnce` ends it with the first of them. */
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  /** True if its program runs on a terminal. */
  readonly tty: boolean;
  readonly startup?: Probe;
  readonly liveness?: Probe;
  readonly readiness?: Probe;
  readonly postStart?: Action;
  readonly preStop?: Action;
  /** Among init containers, one that is to run on beside the others. */
  readonly sidecar: boolean;
}

/** An environment variable: a value, the path of a field of the pod, or an entry of another object. */
export type EnvVariable =
  | { readonly name: string; readonly value: string }
  | { readonly name: string; readonly fieldPath: string }
  | { readonly name: string; readonly from: DataSource; readonly key: string };

/** A ConfigMap or Secret of the pod's namespace. */
export interface DataSource {
  readonly kind: "ConfigMap" | "Secret";
  readonly name: string;
  /** True if it, or the wanted entry, may be missing. */
  readonly optional: boolean;
}

/** An object whose entries are variables, each with the prefix before its key. */
export interface EnvSource {
  readonly from: DataSource;
  readonly prefix: string;
}

/** A port that a container names. */
export interface ContainerPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

/** A question asked again and again. Times are milliseconds. */
export interface Probe {
  readonly action: Action;
  readonly initialDelay: number;
  readonly period: number;
  readonly timeout: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** What a probe or a hook does. Ports are numbers, or names of the container's ports. */
export type Action =
  | { readonly type: "exec"; readonly command: readonly string[] }
  | {
      readonly type: "http";
      readonly host: string;
      readonly port: string;
      readonly path: string;
      readonly headers: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly type: "tcp"; readonly host: string; readonly port: string }
  /** Asks for the health of a service as `grpc.health.v1.Health/Check` does; of all if `service` is empty. */
  | { readonly type: "grpc"; readonly port: string; readonly service: string }
  | { readonly type: "sleep"; readonly milliseconds: number };

/** Pods of the API. */
export const pods: Resource<Pod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  namespaced: true,
  project: projectPod,
};

/** Reduces a raw `v1.Pod`. What the API server has let in is taken as it is; fields of no use here are passed over. */
export function projectPod(raw: unknown): Projected<Pod> {
  const problems = new Problems();
  const root = problems.fields("Pod", raw);
  const identity = identityOf(root);
  const metadata = problems.fields("metadata", root.metadata);
  const spec = problems.fields("spec", root.spec);
  const status = problems.fields("status", root.status);
  if (identity === undefined) problems.required("metadata.name", "a pod has a name");
  const containers = (field: "containers" | "initContainers") =>
    problems.list(`spec.${field}`, spec[field]).flatMap((item) => (isFields(item) ? [readContainer(item)] : []));
  const name = identity?.name ?? "";
  const pod: Pod = {
    namespace: identity?.namespace ?? "",
    name,
    uid: identity?.uid ?? "",
    node: problems.text("spec.nodeName", spec.nodeName),
    hostNetwork: spec.hostNetwork === true,
    hostname: textOf(spec.hostname) || name,
    subdomain: textOf(spec.subdomain),
    serviceAccount: textOf(spec.serviceAccountName) || "default",
    restartPolicy: problems.oneOf(
      "spec.restartPolicy",
      spec.restartPolicy,
      ["Always", "OnFailure", "Never"] as const,
      "Always",
    ),
    dnsPolicy: textOf(spec.dnsPolicy) || "ClusterFirst",
    dns: readDnsConfig(fieldsOf(spec.dnsConfig)),
    hostAliases: listOf(spec.hostAliases).map(({ ip, hostnames }) => ({
      ip: textOf(ip),
      names: textListOf(hostnames),
    })),
    labels: textsOf(metadata.labels),
    annotations: textsOf(metadata.annotations),
    initContainers: containers("initContainers"),
    containers: containers("containers"),
    readinessGates: listOf(spec.readinessGates).map(({ conditionType }) => textOf(conditionType)),
    conditions: listOf(status.conditions).flatMap(({ type, status: is }) => (is === "True" ? [textOf(type)] : [])),
    ...((metadata.deletionTimestamp ?? "") !== "" && {
      deletion: { graceSeconds: numberOf(metadata.deletionGracePeriodSeconds, 30) },
    }),
    address: textOf(status.podIP),
    phase: textOf(status.phase),
  };
  return problems.result(() => pod);
}

function readContainer(container: Fields): PodContainer {
  const probes = {
    startup: readProbe(container.startupProbe),
    liveness: readProbe(container.livenessProbe),
    readiness: readProbe(container.readinessProbe),
  };
  const hooks = {
    postStart: readAction(fieldsOf(fieldsOf(container.lifecycle).postStart)),
    preStop: readAction(fieldsOf(fieldsOf(container.lifecycle).preStop)),
  };
  return {
    name: textOf(container.name),
    image: textOf(container.image),
    command: textListOf(container.command),
    args: textListOf(container.args),
    workingDir: textOf(container.workingDir) || "/",
    envFrom: listOf(container.envFrom).flatMap(({ prefix, configMapRef, secretRef }) => {
      const from = readDataSource(configMapRef, secretRef);
      return from === undefined ? [] : [{ from, prefix: textOf(prefix) }];
    }),
    env: listOf(container.env).map(readVariable),
    ports: listOf(container.ports).map((port) => ({
      name: textOf(port.name),
      port: numberOf(port.containerPort, 0),
      protocol: textOf(port.protocol) || "TCP",
    })),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    ...Object.fromEntries(Object.entries({ ...probes, ...hooks }).filter(([, present]) => present !== undefined)),
    sidecar: container.restartPolicy === "Always",
  };
}

function readVariable(variable: Fields): EnvVariable {
  const name = textOf(variable.name);
  const { fieldRef, configMapKeyRef, secretKeyRef } = fieldsOf(variable.valueFrom);
  const from = readDataSource(configMapKeyRef, secretKeyRef);
  if (from !== undefined) return { name, from, key: textOf(fieldsOf(configMapKeyRef ?? secretKeyRef).key) };
  const fieldPath = textOf(fieldsOf(fieldRef).fieldPath);
  return fieldPath === "" ? { name, value: textOf(variable.value) } : { name, fieldPath };
}

function readDataSource(configMap: unknown, secret: unknown): DataSource | undefined {
  const found = isFields(configMap) ? configMap : secret;
  if (!isFields(found)) return undefined;
  const kind = isFields(configMap) ? "ConfigMap" : "Secret";
  return { kind, name: textOf(found.name), optional: found.optional === true };
}

function readDnsConfig({ nameservers, searches, options }: Fields): DnsConfig {
  return {
    nameservers: textListOf(nameservers),
    searches: textListOf(searches),
    options: listOf(options).map(({ name, value }) => ({ name: textOf(name), value: textOf(value) })),
  };
}

function readProbe(raw: unknown): Probe | undefined {
  const probe = fieldsOf(raw);
  const action = readAction(probe);
  if (action === undefined) return undefined;
  return {
    action,
    initialDelay: 1000 * numberOf(probe.initialDelaySeconds, 0),
    period: 1000 * (numberOf(probe.periodSeconds, 10) || 10),
    timeout: 1000 * (numberOf(probe.timeoutSeconds, 1) || 1),
    successThreshold: numberOf(probe.successThreshold, 1) || 1,
    failureThreshold: numberOf(probe.failureThreshold, 3) || 3,
  };
}

function readAction(raw: Fields): Action | undefined {
  if (isFields(raw.exec)) return { type: "exec", command: textListOf(raw.exec.command) };
  if (isFields(raw.httpGet)) {
    const { host, port, path, httpHeaders } = raw.httpGet;
    const headers = listOf(httpHeaders).map(({ name, value }) => ({ name: textOf(name), value: textOf(value) }));
    return { type: "http", host: textOf(host), port: portOf(port), path: textOf(path) || "/", headers };
  }
  if (isFields(raw.tcpSocket))
    return { type: "tcp", host: textOf(raw.tcpSocket.host), port: portOf(raw.tcpSocket.port) };
  if (isFields(raw.grpc)) return { type: "grpc", port: portOf(raw.grpc.port), service: textOf(raw.grpc.service) };
  if (isFields(raw.sleep)) return { type: "sleep", milliseconds: 1000 * numberOf(raw.sleep.seconds, 0) };
  return undefined;
}

/** The port that a probe means: a number, or the name of one of the container's. Undefined if there is none. */
export function resolvePort(port: string, { ports }: Pick<PodContainer, "ports">): number | undefined {
  return /^\d+$/.test(port) ? Number(port) : ports.find(({ name }) => name === port)?.port;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function portOf(value: unknown): string {
  return typeof value === "number" ? String(value) : textOf(value);
}

function numberOf(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : noFields;
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

function textListOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(textOf) : [];
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fieldsOf(value)).map(([key, text]) => [key, textOf(text)]));
}

/** The environment of containers: what a pod's manifest says, its fields, and entries of ConfigMaps and Secrets. */
import { ifThere, type KubeClient, resourcePath } from "../../kube/client.ts";
import { type Fields, isFields, noFields } from "../../kube/objects/fields.ts";
import type { Sandbox } from "./actions.ts";
import type { DataSource, Pod, PodContainer } from "./pod.ts";

/** Entries of objects by {@link dataKey}; undefined for those that are not there and need not be. */
export type PodData = ReadonlyMap<string, Readonly<Record<string, string>> | undefined>;

/** What an object is called in {@link PodData}. */
export function dataKey({ kind, name }: DataSource): string {
  return `${kind} ${name}`;
}

/**
 * Gets the objects that a container's environment is taken from.
 *
 * @throws an Error with a sentence if one is not there that must be.
 */
export async function fetchData(
  client: KubeClient,
  { namespace }: Pick<Pod, "namespace">,
  { env, envFrom }: Pick<PodContainer, "env" | "envFrom">,
  signal: AbortSignal,
): Promise<PodData> {
  const sources = [...envFrom, ...env].flatMap((item) => ("from" in item ? [item.from] : []));
  const data = new Map<string, Readonly<Record<string, string>> | undefined>();
  for (const source of sources) {
    const key = dataKey(source);
    if (!data.has(key)) data.set(key, await fetchOne(client, namespace, source, signal));
    if (data.get(key) === undefined && !source.optional) {
      throw new Error(`${source.kind.toLowerCase()} "${source.name}" not found`);
    }
  }
  return data;
}

async function fetchOne(client: KubeClient, namespace: string, { kind, name }: DataSource, signal: AbortSignal) {
  const plural = kind === "ConfigMap" ? "configmaps" : "secrets";
  const path = resourcePath({ group: "", version: "v1", plural }, { namespace, name });
  const found = await ifThere(client.send({ path }, signal));
  if (found === undefined) return undefined;
  const entries = Object.entries(dataOf(found)).map(([key, value]) => [
    key,
    kind === "Secret" ? Buffer.from(String(value), "base64").toString() : String(value),
  ]);
  return Object.fromEntries(entries) as Readonly<Record<string, string>>;
}

function dataOf(object: unknown): Fields {
  return isFields(object) && isFields(object.data) ? object.data : noFields;
}

/**
 * A container's own environment variables, with references to earlier ones replaced.
 *
 * @throws an Error with a sentence if an object lacks an entry that it must have.
 */
export function environmentOf(
  { env, envFrom }: Pick<PodContainer, "env" | "envFrom">,
  pod: Pod,
  sandbox: Pick<Sandbox, "addresses" | "hostAddresses">,
  data: PodData,
): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const { from, prefix } of envFrom) {
    for (const [key, value] of Object.entries(data.get(dataKey(from)) ?? {})) result[`${prefix}${key}`] = value;
  }
  for (const variable of env) {
    const { name } = variable;
    if ("value" in variable) result[name] = expand(variable.value, result);
    else if ("fieldPath" in variable) result[name] = fieldOf(variable.fieldPath, pod, sandbox);
    else {
      const { from, key } = variable;
      const value = data.get(dataKey(from))?.[key];
      if (value !== undefined) result[name] = value;
      else if (!from.optional)
        throw new Error(`couldn't find key ${key} in ${from.kind} ${pod.namespace}/${from.name}`);
    }
  }
  return result;
}

/** Replaces `$(NAME)` by the variable of that name, and `$$(` by `$(`; what is not known stays. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)/g, (found, name?: string) =>
    name === undefined ? "$" : (env[name] ?? found),
  );
}

/** The field of a pod that an environment variable may take (the downward API); empty for others. */
function fieldOf(
  path: string,
  pod: Pod,
  { addresses, hostAddresses }: Pick<Sandbox, "addresses" | "hostAddresses">,
): string {
  const [, map, key = ""] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path) ?? [];
  if (map === "labels" || map === "annotations") return pod[map][key] ?? "";
  const fields: Readonly<Record<string, string>> = {
    "metadata.name": pod.name,
    "metadata.namespace": pod.namespace,
    "metadata.uid": pod.uid,
    "spec.nodeName": pod.node,
    "spec.serviceAccountName": pod.serviceAccount,
    "status.hostIP": hostAddresses[0] ?? "",
    "status.hostIPs": hostAddresses.join(","),
    "status.podIP": addresses[0] ?? "",
    "status.podIPs": addresses.join(","),
  };
  return fields[path] ?? "";
}

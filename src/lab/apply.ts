/** Applies manifests to a lab, as `kubectl apply --server-side` does. */
import type { KubeClient } from "../kube/client.ts";
import { type Fields, isFields } from "../kube/objects/fields.ts";
import { parseYaml } from "../kube/yaml.ts";

/** Who owns the fields that are applied. */
const manager = "portolan-lab";

/**
 * Applies every document of a YAML text.
 *
 * @throws {YamlError} if the text is none, a KubeError if the API server refuses an object, an Error that names a kind
 *   it does not know.
 */
export async function applyManifest(client: KubeClient, text: string, signal: AbortSignal): Promise<void> {
  await applyObjects(
    client,
    parseYaml(text).map(({ value }) => value),
    signal,
  );
}

/** Applies objects, as {@link applyManifest} does. */
export async function applyObjects(
  client: KubeClient,
  objects: readonly unknown[],
  signal: AbortSignal,
): Promise<void> {
  for (const object of objects) {
    if (!isFields(object)) throw new TypeError("what is applied must be an object");
    const path = await pathOf(client, object, signal);
    const query = { fieldManager: manager, force: true };
    await client.send(
      { method: "PATCH", path, query, contentType: "application/apply-patch+yaml", body: object },
      signal,
    );
  }
}

/** Where an object lies, as the API server's discovery tells. */
async function pathOf(
  client: KubeClient,
  { apiVersion, kind, metadata }: Fields,
  signal: AbortSignal,
): Promise<string> {
  const root = String(apiVersion).includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const list = await client.send({ path: root }, signal);
  const resources = isFields(list) && Array.isArray(list.resources) ? list.resources.filter(isFields) : [];
  const found = resources.find((resource) => resource.kind === kind && !String(resource.name).includes("/"));
  if (found === undefined) throw new Error(`the API server has no kind ${kind} in ${apiVersion}`);
  const { name, namespace = "default" } = isFields(metadata) ? metadata : {};
  const place = found.namespaced === true ? `/namespaces/${namespace}` : "";
  return `${root}${place}/${found.name}/${name}`;
}

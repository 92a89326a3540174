/** The objects of a cluster as they would be after manifests were applied and objects deleted. Pure. */
import { ManifestError, type ManifestObject, parseManifest } from "../../kube/manifests/parse.ts";
import { objectKey, type Projected } from "../../kube/objects/resource.ts";
import { type CheckedService, type ClusterObjects, checkedServices, checkedSlices } from "../snapshot/objects.ts";
import type { Changes, ObjectName } from "./changes.ts";

/**
 * Applies what {@link Changes.apply} and {@link Changes.delete} say, deletions first. A Service that is there already
 * keeps its cluster IPs where the manifest gives none, as an API server has it.
 *
 * @throws {RangeError} that names what cannot be applied, or is not there to be deleted.
 */
export function changedObjects(objects: ClusterObjects, changes: Changes): ClusterObjects {
  let { services, slices } = objects;
  for (const name of changes.delete ?? []) {
    const without = <T extends ObjectName>(list: readonly T[]): readonly T[] => {
      const rest = list.filter((each) => objectKey(each) !== objectKey(name));
      if (rest.length < list.length) return rest;
      throw new RangeError(`delete: the cluster has no ${name.kind} ${objectKey(name)}`);
    };
    if (name.kind === "Service") services = without(services);
    else slices = without(slices);
  }
  for (const manifest of manifestsOf(changes.apply ?? [])) {
    if (manifest.kind === "Service") services = put(services, serviceOf(manifest, services));
    else slices = put(slices, projected(manifest, checkedSlices.project(manifest.raw)));
  }
  return { ...objects, services, slices };
}

function put<T extends { readonly namespace: string; readonly name: string }>(list: readonly T[], object: T) {
  return [...list.filter((each) => objectKey(each) !== objectKey(object)), object];
}

/** The objects of manifests: lists are taken apart, and Endpoints are EndpointSlices. */
function manifestsOf(apply: readonly unknown[]): readonly ManifestObject[] {
  const manifests = apply.flatMap((each, i) => {
    try {
      return parseManifest(new TextEncoder().encode(JSON.stringify(each)), "json");
    } catch (error) {
      if (error instanceof ManifestError) throw new RangeError(`apply[${i}]: ${error.message}`);
      throw error;
    }
  });
  for (const { apiVersion, kind } of manifests) {
    const known = `${apiVersion} ${kind}`;
    if (known !== "v1 Service" && known !== "discovery.k8s.io/v1 EndpointSlice") {
      throw new RangeError(
        `apply: ${known}: must be v1 Service, discovery.k8s.io/v1 EndpointSlice or v1 Endpoints: what others lead to is not computed`,
      );
    }
  }
  return manifests;
}

function serviceOf(manifest: ManifestObject, services: readonly CheckedService[]): CheckedService {
  const service = projected(manifest, checkedServices.project(manifest.raw));
  const before = services.find((each) => objectKey(each) === objectKey(service));
  const { spec } = manifest.raw;
  const headless = typeof spec === "object" && spec !== null && "clusterIP" in spec && spec.clusterIP === "None";
  if (service.type === "ExternalName" || headless || service.clusterIPs.length > 0) return service;
  if (before !== undefined && before.clusterIPs.length > 0) return { ...service, clusterIPs: before.clusterIPs };
  throw new RangeError(
    `apply: Service ${objectKey(service)}: spec.clusterIP: Required value: nobody gives it one here: choose one that is free`,
  );
}

function projected<T>({ kind }: ManifestObject, outcome: Projected<T>): T {
  if (outcome.outcome === "object") return outcome.object;
  const why = outcome.outcome === "invalid" ? outcome.problems.join("; ") : "no proxy looks at such";
  throw new RangeError(`apply: ${kind}: ${why}`);
}

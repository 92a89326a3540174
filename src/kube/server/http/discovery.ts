/** What the server says about itself: groups, resources, version. Pure. */
import { unknownPath } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { apiVersionOf, type Kind } from "../kinds/kind.ts";
import type { Group, KindSet } from "../kinds/set.ts";
import { parseAccept } from "./accept.ts";

/** The version of Kubernetes whose API this is. */
const release = { major: "1", minor: "33" } as const;

/** The body of `/version`. */
export const version: JsonObject = {
  ...release,
  gitVersion: `v${release.major}.${release.minor}.0+portolan`,
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
};

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const partVerbs = ["get", "patch", "update"];

/** A subresource of a kind in discovery. */
interface Part {
  readonly name: string;
  readonly verbs: readonly string[];
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** The connections into pods, with the kinds of their options. */
const connections = { attach: "PodAttachOptions", exec: "PodExecOptions", portforward: "PodPortForwardOptions" };

/** The subresources of a kind. */
export function partsOf(kind: Kind): readonly Part[] {
  const own = { group: kind.group, version: kind.version, kind: kind.kind };
  const parts: Part[] = [];
  if (kind.status) parts.push({ name: "status", verbs: partVerbs, ...own });
  if (kind.scale !== undefined)
    parts.push({ name: "scale", verbs: partVerbs, group: "autoscaling", version: "v1", kind: "Scale" });
  if (kind.kind === "Namespace") parts.push({ name: "finalize", verbs: ["update"], ...own });
  if (kind.kind === "Pod") {
    parts.push({ name: "binding", verbs: ["create"], group: "", version: "v1", kind: "Binding" });
    parts.push({ name: "eviction", verbs: ["create"], group: "policy", version: "v1", kind: "Eviction" });
    parts.push({ name: "log", verbs: ["get"], ...own });
    for (const [name, options] of Object.entries(connections))
      parts.push({ name, verbs: ["create", "get"], group: "", version: "v1", kind: options });
  }
  return parts;
}

/** `APIVersions`, the body of `/api`. */
export function apiVersions(address: string): JsonObject {
  const serverAddressByClientCIDRs = [{ clientCIDR: "0.0.0.0/0", serverAddress: address }];
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs };
}

/** `APIGroupList`, the body of `/apis`. */
export function apiGroups(kinds: KindSet): JsonObject {
  return { kind: "APIGroupList", apiVersion: "v1", groups: kinds.groups.map(groupObject) };
}

function groupObject({ group, versions }: Group): JsonObject {
  const entries = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

/**
 * `APIGroup`, the body of `/apis/<group>`.
 *
 * @throws {ApiError} 404 if there is no such group.
 */
export function apiGroup(kinds: KindSet, name: string): JsonObject {
  const found = kinds.groups.find(({ group }) => group === name);
  if (found === undefined) throw unknownPath();
  return { kind: "APIGroup", apiVersion: "v1", ...groupObject(found) };
}

/**
 * `APIResourceList`, the body of `/api/v1` and `/apis/<group>/<version>`.
 *
 * @throws {ApiError} 404 if there is no such group and version.
 */
export function apiResources(kinds: KindSet, group: string, version: string): JsonObject {
  const found = kinds.of(group, version);
  const [first] = found;
  if (first === undefined) throw unknownPath();
  const resources = found.flatMap((kind) => [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs,
      ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
      ...(kind.categories.length > 0 ? { categories: kind.categories } : {}),
    },
    ...partsOf(kind).map((part) => ({
      name: `${kind.plural}/${part.name}`,
      singularName: "",
      namespaced: kind.namespaced,
      ...(part.group === kind.group ? {} : { group: part.group, version: part.version }),
      kind: part.kind,
      verbs: part.verbs,
    })),
  ]);
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: apiVersionOf(first), resources };
}

/** The version of aggregated discovery that an `Accept` header asks for first, before plain JSON; or undefined. */
export function aggregatedVersion(accept: string): "v2" | "v2beta1" | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== "application/json") continue;
    const { as, g, v } = parameters;
    if (as === undefined) return undefined;
    if (as === "APIGroupDiscoveryList" && g === "apidiscovery.k8s.io" && (v === "v2" || v === "v2beta1")) return v;
  }
  return undefined;
}

/** `APIGroupDiscoveryList`: of core only, or of all other groups. */
export function aggregated(kinds: KindSet, core: boolean, form: "v2" | "v2beta1"): JsonObject {
  const listed = core ? [{ group: "", versions: ["v1"] }] : kinds.groups;
  const items = listed.map(({ group, versions }) => ({
    metadata: { name: group, creationTimestamp: null },
    versions: versions.map((version) => ({
      version,
      freshness: "Current",
      resources: kinds.of(group, version).map(discoveryOf),
    })),
  }));
  return { kind: "APIGroupDiscoveryList", apiVersion: `apidiscovery.k8s.io/${form}`, metadata: {}, items };
}

function discoveryOf(kind: Kind): JsonObject {
  const responseKind = { group: kind.group, version: kind.version, kind: kind.kind };
  const subresources = partsOf(kind).map((part) => ({
    subresource: part.name,
    responseKind: { group: part.group, version: part.version, kind: part.kind },
    verbs: part.verbs,
  }));
  return {
    resource: kind.plural,
    responseKind,
    scope: kind.namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs,
    ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
    ...(kind.categories.length > 0 ? { categories: kind.categories } : {}),
    ...(subresources.length > 0 ? { subresources } : {}),
  };
}

/** What a path of the API means. Pure. */
import type { Kind } from "../kinds/kind.ts";
import type { KindSet } from "../kinds/set.ts";

/** A path that names objects. `namespace` and `name` are empty where the path has none. */
export interface ResourceRoute {
  readonly type: "resource";
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

/** Any path that the server knows. */
export type Route =
  | ResourceRoute
  | { readonly type: "health" }
  | { readonly type: "version" }
  | { readonly type: "api" }
  | { readonly type: "apis" }
  | { readonly type: "group"; readonly group: string }
  | { readonly type: "resources"; readonly group: string; readonly version: string }
  | { readonly type: "openapi2" }
  | { readonly type: "openapi3" }
  | { readonly type: "openapi3-group"; readonly group: string; readonly version: string }
  | {
      readonly type: "review";
      readonly review: "SelfSubjectAccessReview" | "SelfSubjectReview" | "SelfSubjectRulesReview";
    }
  | { readonly type: "unknown" };

const reviews = {
  selfsubjectaccessreviews: "SelfSubjectAccessReview",
  selfsubjectreviews: "SelfSubjectReview",
  selfsubjectrulesreviews: "SelfSubjectRulesReview",
} as const;

/** Reads a path, without its query. */
export function parseRoute(path: string, kinds: KindSet): Route {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "") continue;
    try {
      parts.push(decodeURIComponent(part));
    } catch {
      return { type: "unknown" };
    }
  }
  const [first, ...rest] = parts;
  if (first === "healthz" || first === "livez" || first === "readyz") return { type: "health" };
  if (first === "version" && rest.length === 0) return { type: "version" };
  if (first === "openapi") return parseOpenApi(rest);
  if (first === "api") {
    if (rest.length === 0) return { type: "api" };
    return rest[0] === "v1" ? parseResource(kinds, "", "v1", rest.slice(1)) : { type: "unknown" };
  }
  if (first !== "apis") return { type: "unknown" };
  const [group, version, ...names] = rest;
  if (group === undefined) return { type: "apis" };
  if (version === undefined) return { type: "group", group };
  return parseResource(kinds, group, version, names);
}

function parseOpenApi(rest: readonly string[]): Route {
  const [document, root, group, version] = rest;
  if (document === "v2" && rest.length === 1) return { type: "openapi2" };
  if (document !== "v3") return { type: "unknown" };
  if (rest.length === 1) return { type: "openapi3" };
  if (root === "api" && group === "v1" && rest.length === 3)
    return { type: "openapi3-group", group: "", version: "v1" };
  if (root === "apis" && group !== undefined && version !== undefined && rest.length === 4) {
    return { type: "openapi3-group", group, version };
  }
  return { type: "unknown" };
}

function parseResource(kinds: KindSet, group: string, version: string, names: readonly string[]): Route {
  if (names.length === 0) return { type: "resources", group, version };
  for (const [plural, review] of Object.entries(reviews)) {
    if (group.endsWith("authorization.k8s.io") || group === "authentication.k8s.io") {
      if (names[0] === plural && names.length === 1) return { type: "review", review };
    }
  }
  const inside = names[0] === "namespaces" && names.length >= 3 && names[2] !== "status" && names[2] !== "finalize";
  const [plural = "", name = "", subresource = "", ...more] = inside ? names.slice(2) : names;
  const kind = kinds.find(group, version, plural);
  if (kind === undefined || more.length > 0) return { type: "unknown" };
  const namespace = inside ? (names[1] ?? "") : "";
  if (kind.namespaced ? namespace === "" && name !== "" : inside) return { type: "unknown" };
  return { type: "resource", kind, namespace, name, subresource };
}

/** What a kind of API object is called, and what is kept of one. */

/** What became of one raw object of the API, parsed JSON or YAML. */
export type Projected<T> =
  | { readonly outcome: "object"; readonly object: T }
  /** Malformed: the object is refused whole. Each problem is a sentence that starts with the path of a field. */
  | { readonly outcome: "invalid"; readonly problems: readonly string[] }
  /** Well-formed, but of no use here by definition of the API: nothing to warn about. */
  | { readonly outcome: "ignored" };

/** Reduces a raw object to the fields that a consumer uses. Never throws, whatever it is given. */
export type Projection<T> = (raw: unknown) => Projected<T>;

/** A kind of object, by all its names in the API, and what to keep of it. */
export interface Resource<T> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** The last part of its URL path, e.g. `endpointslices`. */
  readonly plural: string;
  readonly namespaced: boolean;
  readonly project: Projection<T>;
}

/** The identity of an object among those of its kind: `namespace/name`, or the name alone without a namespace. */
export type ObjectKey = string;

/** The key of an object. */
export function objectKey(object: { readonly namespace?: string; readonly name: string }): ObjectKey {
  return object.namespace === undefined || object.namespace === "" ? object.name : `${object.namespace}/${object.name}`;
}

/** `apiVersion` as objects carry it: `v1`, `discovery.k8s.io/v1`. */
export function apiVersionOf(resource: { readonly group: string; readonly version: string }): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

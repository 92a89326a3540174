/** The objects of one manifest file. */
import { createHash } from "node:crypto";
import { endpointSlicesOf } from "../objects/endpoints.ts";
import { type Fields, isFields, noFields } from "../objects/fields.ts";
import { parseYaml, YamlError } from "../yaml.ts";

/** A raw object of a manifest, with the metadata that an API server would have given it. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Fields;
  /** The line of the document it stands in, from 1. */
  readonly line: number;
}

/** A manifest that cannot be read, and the line to look at. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
  readonly line: number;

  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** Bytes of a YAML file, which is read at about 1 MB a second in one go. */
const maximumYaml = 4 << 20;

/** Kinds without a namespace among those that anybody here uses. */
const clusterScoped = new Set(["Node", "ServiceCIDR", "Namespace", "IngressClass"]);

/**
 * Reads a manifest: documents of YAML, or one of JSON; lists are taken apart, Endpoints become EndpointSlices.
 * Missing namespaces are `default`; uids are made from the name, resourceVersions from the content.
 *
 * @throws {ManifestError}
 */
export function parseManifest(content: Uint8Array, format: "yaml" | "json"): readonly ManifestObject[] {
  if (format === "yaml" && content.length > maximumYaml) {
    throw new ManifestError(`${content.length} bytes are more than the ${maximumYaml} allowed; JSON may be longer`, 1);
  }
  const text = decode(content);
  const documents = format === "yaml" ? readYaml(text) : readJson(text);
  return documents.flatMap(({ value, line }) => takeApart(value, line, {}));
}

function decode(content: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    throw new ManifestError("is not UTF-8 text", 1);
  }
}

function readYaml(text: string) {
  try {
    return parseYaml(text);
  } catch (error) {
    if (error instanceof YamlError) throw new ManifestError(error.message, error.line);
    throw error;
  }
}

function readJson(text: string) {
  if (text.trim() === "") return [];
  try {
    return [{ value: JSON.parse(text) as unknown, line: 1 }];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = /\(line (\d+) column/.exec(message)?.[1];
    throw new ManifestError(message, Number(line ?? 1));
  }
}

/** The objects of a document: itself, those of a list, those made of Endpoints. `outer` says what a list's items are. */
function takeApart(value: unknown, line: number, outer: { apiVersion?: string; kind?: string }): ManifestObject[] {
  if (!isFields(value)) throw new ManifestError("an object must be a map of fields", line);
  const { apiVersion = outer.apiVersion, kind = outer.kind } = value;
  if (typeof apiVersion !== "string" || apiVersion === "") throw new ManifestError("apiVersion: Required value", line);
  if (typeof kind !== "string" || kind === "") throw new ManifestError("kind: Required value", line);
  if (kind.endsWith("List") && (Array.isArray(value.items) || value.items === null)) {
    const inner = kind === "List" ? {} : { apiVersion, kind: kind.slice(0, -"List".length) };
    return (value.items ?? []).flatMap((item: unknown) => takeApart(item, line, inner));
  }
  const object = complete({ ...value, apiVersion, kind }, apiVersion, kind, line);
  return kind === "Endpoints" && apiVersion === "v1" ? slicesOf(object) : [object];
}

function complete(raw: Fields, apiVersion: string, kind: string, line: number): ManifestObject {
  const metadata = isFields(raw.metadata) ? raw.metadata : noFields;
  const { name } = metadata;
  if (typeof name !== "string" || name === "") {
    const wrong =
      (name ?? "") === "" ? "Required value" : `Invalid value: ${String(name)}: must be a string; use quotes`;
    throw new ManifestError(`${kind}: metadata.name: ${wrong}`, line);
  }
  const namespace = clusterScoped.has(kind) ? undefined : metadata.namespace || "default";
  const uid = metadata.uid || uidOf(`${apiVersion}/${kind}/${String(namespace ?? "")}/${name}`);
  const resourceVersion = hash(JSON.stringify(raw));
  return { apiVersion, kind, line, raw: { ...raw, metadata: { ...metadata, name, namespace, uid, resourceVersion } } };
}

function slicesOf({ raw, line }: ManifestObject): ManifestObject[] {
  const slices = endpointSlicesOf(raw);
  if (slices.outcome === "invalid") throw new ManifestError(`Endpoints: ${slices.problems.join("; ")}`, line);
  if (slices.outcome === "ignored") return [];
  return slices.object.map((slice) => complete(slice, "discovery.k8s.io/v1", "EndpointSlice", line));
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A uid that stays the same for the same object. */
function uidOf(text: string): string {
  return hash(text).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
}

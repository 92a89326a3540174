/** The parts of objects that are objects of their own: scale, binding, eviction. */
import { decodeAs } from "../body.ts";
import { badRequest, conflict, methodNotAllowed, unknownPath } from "../errors.ts";
import { type ApiObject, at, type Json, type JsonObject, numberAt, objectAt, textAt } from "../json.ts";
import { selectorText } from "../kinds/columns.ts";
import type { ScalePaths } from "../kinds/kind.ts";
import { bindingSchema } from "../kinds/requests.ts";
import { scaleKind } from "../kinds/scale.ts";
import { patched, patchTypeOf } from "../patching.ts";
import { parseMediaType } from "./accept.ts";
import { evict } from "./eviction.ts";
import { created, type Done, type PartRequest } from "./part.ts";
import { jsonOf, objectOf } from "./read.ts";

/** Answers a request for a part. */
export function writePart(request: PartRequest): Done {
  const { kind, subresource } = request.route;
  if (subresource === "scale" && kind.scale !== undefined) return { code: 200, object: scale(request, kind.scale) };
  const act =
    kind.kind !== "Pod" ? undefined : subresource === "binding" ? bind : subresource === "eviction" ? evict : undefined;
  if (act === undefined) throw unknownPath();
  if (request.method !== "POST") throw methodNotAllowed();
  return act(request);
}

function scale({ api, route, method, body, options }: PartRequest, paths: ScalePaths): ApiObject {
  const { kind, namespace, name } = route;
  const object = api.get(kind, namespace, name);
  const current = scaleOf(object, paths);
  if (method === "GET") return current;
  let wanted: JsonObject;
  if (method === "PUT") wanted = objectOf(body, scaleKind.schema);
  else if (method === "PATCH") {
    const type = patchTypeOf(parseMediaType(body.contentType).type);
    if (type === "apply") throw methodNotAllowed();
    wanted = patched(type, scaleKind.schema, current, jsonOf(body));
  } else throw methodNotAllowed();
  const decoded = decodeAs(scaleKind.schema, wanted, "Scale", "Scale", options.strictness, options.warn);
  const version = textAt(decoded, "metadata", "resourceVersion");
  const replicas = numberAt(decoded, ["spec", "replicas"]);
  if (replicas < 0) throw badRequest(`spec.replicas: Invalid value: ${replicas}: must be greater than or equal to 0`);
  const metadata = version === "" ? object.metadata : { ...object.metadata, resourceVersion: version };
  const next = { ...withValue(object, paths.specReplicas, replicas), metadata } as ApiObject;
  return scaleOf(api.update(kind, namespace, name, next, "", options), paths);
}

function scaleOf(object: ApiObject, paths: ScalePaths): ApiObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const place = namespace === undefined ? {} : { namespace };
  const selected = paths.selector.length === 0 ? undefined : at(object, ...paths.selector);
  const selector = typeof selected === "string" ? selected : selectorText(objectAt({ selected }, "selected"));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, ...place, uid, resourceVersion, creationTimestamp },
    spec: { replicas: numberAt(object, paths.specReplicas) },
    status: { replicas: numberAt(object, paths.statusReplicas), selector: selector === "<none>" ? "" : selector },
  };
}

/** The object with a value at a path of member names. */
function withValue(object: JsonObject, [name = "", ...rest]: readonly string[], value: Json): JsonObject {
  return { ...object, [name]: rest.length === 0 ? value : withValue(objectAt(object, name), rest, value) };
}

function bind(request: PartRequest): Done {
  const { api, route, options } = request;
  const { kind, namespace, name } = route;
  const node = textAt(objectOf(request.body, bindingSchema), "target", "name");
  const pod = api.get(kind, namespace, name);
  if (node === "") throw badRequest("target.name: Required value");
  const present = textAt(pod, "spec", "nodeName");
  if (present !== "") throw conflict(kind, name, `pod ${name} is already assigned to node ${JSON.stringify(present)}`);
  api.update(kind, namespace, name, { ...pod, spec: { ...objectAt(pod, "spec"), nodeName: node } }, "", options);
  return created;
}

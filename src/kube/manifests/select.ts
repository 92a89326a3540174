/** A selection as a predicate over raw objects: what an API server does for those who ask it. */
import { type Fields, isFields, noFields } from "../objects/fields.ts";
import type { JsonObject } from "../server/json.ts";
import { parseFieldSelector, selectsFields } from "../server/select/fields.ts";
import { parseLabelSelector, selects } from "../server/select/labels.ts";
import type { Selection } from "../source.ts";

/**
 * The predicate of a selection.
 *
 * @throws {Error} if a selector cannot be understood.
 */
export function selectorOf(selection: Selection): (raw: unknown) => boolean {
  const { namespace } = selection;
  const labels = parseLabelSelector(selection.labels ?? "");
  const fields = parseFieldSelector(selection.fields ?? "", ["metadata.name", "metadata.namespace"]);
  return (raw) => {
    const object = asJson(raw);
    const metadata = asJson(object.metadata);
    if (namespace !== undefined && metadata.namespace !== namespace) return false;
    return selects(labels, asJson(metadata.labels)) && selectsFields(fields, object);
  };
}

/** Manifests are JSON by nature; what is no object has no fields. */
function asJson(value: unknown): JsonObject {
  const fields: Fields = isFields(value) ? value : noFields;
  return fields as JsonObject;
}

/** What belongs to a workload: what it controls already, what it takes up and what it lets go, as labels say. Pure. */
import { type ApiObject, isObject, listAt, objectAt, without } from "../server/json.ts";
import { requirementsOf, selects } from "../server/select/labels.ts";
import { type Action, controlledBy, controllerOf } from "./action.ts";
import { isTerminating } from "./pods.ts";

/** What a workload has, and what is to be written first where somebody comes to it or goes. */
export interface Claim {
  readonly mine: readonly ApiObject[];
  readonly actions: readonly Action[];
}

/**
 * Sorts objects of a resource by whether they belong to a workload. One that nobody controls and that it selects is
 * taken up; one that it selects no more is let go, and outlives it.
 */
export function claim(resource: string, owner: ApiObject, candidates: readonly ApiObject[]): Claim {
  const requirements = requirementsOf(objectAt(owner, "spec", "selector"));
  const mine: ApiObject[] = [];
  const actions: Action[] = [];
  for (const object of candidates) {
    const controller = controllerOf(object);
    const fits = selects(requirements, objectAt(object, "metadata", "labels"));
    const isMine = controller?.uid === owner.metadata.uid;
    if (isMine && (fits || isTerminating(owner))) mine.push(object);
    else if (isTerminating(owner) || isTerminating(object)) continue;
    else if (isMine) actions.push({ type: "update", resource, object: withoutOwner(object, owner) });
    else if (fits && controller === undefined)
      actions.push({ type: "update", resource, object: withOwner(object, owner) });
  }
  return { mine, actions };
}

function withOwner(object: ApiObject, owner: ApiObject): ApiObject {
  const ownerReferences = [...listAt(object, "metadata", "ownerReferences"), controlledBy(owner)];
  return { ...object, metadata: { ...object.metadata, ownerReferences } };
}

function withoutOwner(object: ApiObject, owner: ApiObject): ApiObject {
  const ownerReferences = listAt(object, "metadata", "ownerReferences").filter(
    (reference) => !isObject(reference) || reference.uid !== owner.metadata.uid,
  );
  const rest = without(object.metadata, "ownerReferences") as ApiObject["metadata"];
  return { ...object, metadata: ownerReferences.length === 0 ? rest : { ...rest, ownerReferences } };
}

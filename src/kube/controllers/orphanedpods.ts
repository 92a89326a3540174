/** Pods whose node is gone end at once: nobody is left who could end them in good order. */
import type { Api } from "../server/api.ts";
import { needKind } from "./action.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";
import { isTerminating, nodeOf } from "./pods.ts";

/** The controller that ends pods of nodes that were deleted. */
export function orphanedPodController(api: Api): Controller {
  return {
    name: "orphaned-pods",
    watches: ["nodes", "pods"],
    keysOf(resource, { type, object }) {
      // A pod may name a node that has yet to come: it is left alone until it is deleted.
      if (resource === "pods") return type !== "DELETED" && isTerminating(object) ? [keyOfObject(object)] : [];
      if (type !== "DELETED") return [];
      return api
        .list("pods")
        .filter((pod) => nodeOf(pod) === object.metadata.name)
        .map(keyOfObject);
    },
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const pod = api.store.get({ resource: "pods", namespace, name });
      if (pod === undefined || nodeOf(pod) === "") return undefined;
      if (api.store.get({ resource: "nodes", namespace: "", name: nodeOf(pod) }) !== undefined) return undefined;
      api.delete(needKind(api, "pods"), namespace, name, { dryRun: false, graceSeconds: 0 });
      return undefined;
    },
  };
}

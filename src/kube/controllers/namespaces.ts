/** Namespaces: each has its ServiceAccount, and goes only when everything in it has gone. */
import { type Api, internal } from "../server/api.ts";
import { type ApiObject, listAt, objectAt } from "../server/json.ts";
import { resourceOf } from "../server/kinds/kind.ts";
import { needKind } from "./action.ts";
import type { Controller } from "./loop.ts";

/** The controller of namespaces. Its keys are their names. */
export function namespaceController(api: Api): Controller {
  const ending = (name: string): ApiObject | undefined => {
    const namespace = api.store.get({ resource: "namespaces", namespace: "", name });
    return namespace?.metadata.deletionTimestamp === undefined ? undefined : namespace;
  };
  const contents = () => api.kinds.stored.filter((kind) => kind.namespaced);
  return {
    name: "namespace-controller",
    get watches() {
      return ["namespaces", ...contents().map(resourceOf)];
    },
    keysOf(resource, { type, object }) {
      if (resource === "namespaces") return [object.metadata.name];
      const { namespace = "" } = object.metadata;
      if (resource === "serviceaccounts" && type === "DELETED" && object.metadata.name === "default")
        return [namespace];
      return type === "DELETED" && ending(namespace) !== undefined ? [namespace] : [];
    },
    reconcile(name) {
      const namespace = api.store.get({ resource: "namespaces", namespace: "", name });
      if (namespace === undefined) return undefined;
      if (namespace.metadata.deletionTimestamp === undefined) {
        if (api.store.get({ resource: "serviceaccounts", namespace: name, name: "default" }) === undefined) {
          api.create(needKind(api, "serviceaccounts"), name, { metadata: { name: "default" } }, internal);
        }
        return undefined;
      }
      let left = 0;
      for (const kind of contents()) {
        for (const object of api.list(resourceOf(kind), name)) {
          if (object.metadata.deletionTimestamp === undefined) {
            const { gone } = api.delete(kind, name, object.metadata.name, { dryRun: false, propagation: "Background" });
            if (gone) continue;
          }
          left++;
        }
      }
      if (left > 0) return undefined;
      const finalizers = listAt(namespace, "spec", "finalizers").filter((item) => item !== "kubernetes");
      const spec = { ...objectAt(namespace, "spec"), finalizers };
      api.update(needKind(api, "namespaces"), "", name, { ...namespace, spec }, "finalize", internal);
      return undefined;
    },
  };
}

/** Namespaces that manifests imply: they name namespaces, and seldom define them. */
import { services } from "../kube/objects/service.ts";
import type { Source, Watch } from "../kube/source.ts";

/** A source that also has the namespaces in which its Services are. */
export function withImpliedNamespaces(source: Source): Source {
  return {
    watch<T>(watch: Watch<T>, signal: AbortSignal): void {
      source.watch(watch, signal);
      if (watch.resource.kind !== "Namespace" || watch.selection?.labels !== undefined) return;
      const implied = new Set<string>();
      source.watch(
        {
          resource: services,
          onEvents(events) {
            for (const { object } of events) {
              const { namespace: name } = object;
              if (implied.has(name)) continue;
              implied.add(name);
              const made = watch.resource.project({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
              if (made.outcome === "object") watch.onEvents([{ type: "upsert", object: made.object }]);
            }
          },
          onSynced() {},
        },
        signal,
      );
    },
  };
}

/** Events are forgotten after a while. */
import type { Api } from "../server/api.ts";
import { textAt } from "../server/json.ts";
import { needKind } from "./action.ts";
import { type Controller, keyOfObject, splitKey } from "./loop.ts";

/** Milliseconds that an event is kept after it last happened, as upstream. */
const lifetime = 60 * 60 * 1000;

/** The controller that forgets events. */
export function eventController(api: Api): Controller {
  return {
    name: "event-expiry",
    watches: ["events"],
    keysOf: (_, { type, object }) => (type === "DELETED" ? [] : [keyOfObject(object)]),
    reconcile(key) {
      const [namespace, name] = splitKey(key);
      const event = api.store.get({ resource: "events", namespace, name });
      if (event === undefined) return undefined;
      const seen =
        textAt(event, "series", "lastObservedTime") ||
        textAt(event, "lastTimestamp") ||
        event.metadata.creationTimestamp;
      const left = Date.parse(seen) + lifetime - api.now();
      if (left > 0) return left;
      api.delete(needKind(api, "events"), namespace, name, { dryRun: false });
      return undefined;
    },
  };
}

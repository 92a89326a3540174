/** Plugin ready: says over HTTP whether all plugins can do their work. */

import { textReply } from "../../../telemetry/http.ts";
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";
import type { Site } from "../../server/site.ts";

const defaultAddress = ":8181";

/** The plugin. */
export const ready: Plugin = {
  name: "ready",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const address = stanza.hostPort(defaultAddress);
    let continuously = false;
    for (const property of stanza.properties) {
      if (property.name !== "monitor") throw stanza.unknown(property);
      const [mode = ""] = property.expect(1);
      if (mode !== "until-ready" && mode !== "continuously") {
        throw property.error(`'${mode}' must be until-ready or continuously`);
      }
      continuously = mode === "continuously";
    }
    site.onStart(async (signal) => {
      const sites = sitesAt(site, address);
      sites.add({ site, wasReady: new Set(), continuously });
      signal.addEventListener("abort", () => {
        for (const one of sites) if (one.site === site) sites.delete(one);
      });
      await site.env.http.route(
        address,
        "/ready",
        () => {
          if ([...sites].some((one) => one.site.ending)) return textReply(503, "Shutting down");
          const waiting = [...sites].flatMap(notReady);
          if (waiting.length === 0) return textReply(200, "OK");
          return textReply(503, [...new Set(waiting)].sort().join(","));
        },
        signal,
      );
    });
    return undefined;
  },
};

interface Monitored {
  readonly site: Site;
  readonly wasReady: Set<string>;
  readonly continuously: boolean;
}

/** All blocks whose readiness is asked for at one address. */
const monitored = new WeakMap<object, Map<string, Set<Monitored>>>();

function sitesAt(site: Site, address: string): Set<Monitored> {
  const addresses = monitored.get(site.env) ?? new Map<string, Set<Monitored>>();
  monitored.set(site.env, addresses);
  const sites = addresses.get(address) ?? new Set<Monitored>();
  addresses.set(address, sites);
  return sites;
}

/** Names of the plugins that are not ready; unless told otherwise, one that was ready once is not asked again. */
function notReady({ site, wasReady, continuously }: Monitored): readonly string[] {
  const names: string[] = [];
  for (const handler of site.handlers) {
    if (handler.ready === undefined || (!continuously && wasReady.has(handler.name))) continue;
    if (handler.ready()) wasReady.add(handler.name);
    else names.push(handler.name);
  }
  return names;
}

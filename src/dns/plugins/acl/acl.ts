/** Plugin acl: who may ask what. */
import { tryParseAddress } from "../../../net/address.ts";
import { hostPrefix, type Prefix, prefixContains, tryParsePrefix } from "../../../net/prefix.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";
import { reply } from "../../server/reply.ts";
import { zonesOf } from "../../server/zones.ts";
import { OPTION, RCODE, TYPE, tryParseType } from "../../wire/codes.ts";
import { isWithin } from "../../wire/names.ts";
import { serverLabel } from "../prometheus/prometheus.ts";

const actions = ["allow", "block", "filter", "drop"] as const;

/** A line of a directive: the first that fits type and client decides. */
interface Policy {
  readonly action: (typeof actions)[number];
  /** Empty: all. */
  readonly types: ReadonlySet<number>;
  /** Empty: all. */
  readonly networks: readonly Prefix[];
}

/** Codes of extended errors (RFC 8914): `Blocked` and `Filtered`. */
const extended = { block: 15, filter: 17 } as const;

/** The plugin. */
export const acl: Plugin = {
  name: "acl",
  setup(stanzas, site) {
    const rules = stanzas.map((stanza) => ({
      zones: zonesOf(stanza, stanza.args, site),
      policies: stanza.properties.map((property) => parsePolicy(stanza, property)),
    }));
    const { metrics } = site.env;
    const labels = ["server", "zone", "view"];
    const count = {
      allow: metrics.counters("coredns_acl_allowed_requests_total", "Queries that were let through.", "server", "view"),
      block: metrics.counters("coredns_acl_blocked_requests_total", "Queries that were refused.", ...labels),
      filter: metrics.counters("coredns_acl_filtered_requests_total", "Queries that were answered empty.", ...labels),
      drop: metrics.counters("coredns_acl_dropped_requests_total", "Queries that were not answered.", ...labels),
    };
    const server = serverLabel(site);
    const { viewName } = site.settings;
    const allowed = count.allow.labels(server, viewName);
    return {
      name: "acl",
      serve(query, next) {
        const client = tryParseAddress(query.client.address);
        for (const { zones, policies } of rules) {
          const zone = zones.find((one) => isWithin(query.name, one));
          if (zone === undefined) continue;
          const policy = policies.find(
            ({ types, networks }) =>
              (types.size === 0 || types.has(query.type)) &&
              (networks.length === 0 ||
                (client !== undefined && networks.some((network) => prefixContains(network, client)))),
          );
          if (policy === undefined) continue;
          const { action } = policy;
          if (action === "allow") break;
          count[action].labels(server, zone, viewName).add(1);
          if (action === "drop") return undefined;
          const rcode = action === "block" ? RCODE.REFUSED : RCODE.NOERROR;
          const empty = reply(query.message, { rcode, aa: false });
          const { edns } = query.message;
          if (edns === undefined) return empty;
          const data = Uint8Array.of(0, extended[action]);
          return { ...empty, edns: { ...edns, options: [{ code: OPTION.EDE, data }] } };
        }
        allowed.add(1);
        return next(query);
      },
    };
  },
};

/** `ACTION [type TYPE...] [net NETWORK...]` */
function parsePolicy(stanza: Stanza, property: Stanza): Policy {
  const action = actions.find((one) => one === property.name);
  if (action === undefined) throw stanza.unknown(property);
  const types = new Set<number>();
  const networks: Prefix[] = [];
  let section = "";
  let allTypes = false;
  let allNetworks = false;
  for (const word of property.args) {
    if (word === "type" || word === "net") section = word;
    else if (section === "type") {
      const type = tryParseType(word);
      if (word === "*") allTypes = true;
      else if (type === undefined || type === TYPE.OPT) throw property.error(`'${word}' is not a record type`);
      else types.add(type);
    } else if (section === "net") {
      const address = tryParseAddress(word);
      const network = address === undefined ? tryParsePrefix(word) : hostPrefix(address);
      if (word === "*") allNetworks = true;
      else if (network === undefined) throw property.error(`'${word}' is not an address or prefix`);
      else networks.push(network);
    } else {
      throw property.error(`'${word}' must follow type or net`);
    }
  }
  const named = (word: string) => property.args.includes(word);
  if (named("type") && !allTypes && types.size === 0) throw property.error("type needs record types");
  if (named("net") && !allNetworks && networks.length === 0) throw property.error("net needs networks");
  return { action, types: allTypes ? new Set() : types, networks: allNetworks ? [] : networks };
}

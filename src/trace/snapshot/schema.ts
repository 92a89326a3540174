/** The fields of a snapshot, for reading one that somebody else may have written. */
import { conntrack } from "./schema/conntrack.ts";
import { ipsets } from "./schema/ipsets.ts";
import { iptables } from "./schema/iptables.ts";
import { ipvs } from "./schema/ipvs.ts";
import { addresses, fdb, links, neighbours } from "./schema/links.ts";
import { nftables } from "./schema/nftables.ts";
import { objects } from "./schema/objects.ts";
import { programs } from "./schema/programs.ts";
import { recent } from "./schema/recent.ts";
import { routes, rules } from "./schema/routes.ts";
import { sockets } from "./schema/sockets.ts";
import { name, u16 } from "./schema/values.ts";
import { flag, list, maybe, object, record, type Shape, text, whole } from "./shape.ts";
import { schemaVersion } from "./types.ts";

const place = {
  schemaVersion: whole(schemaVersion, schemaVersion),
  name,
  time: text(64),
  kernel: text(256),
  links,
  addresses,
  neighbours,
  fdb,
  rules,
  routes,
  sysctls: record(text(4096)),
  nftables,
  iptables,
  ipsets,
  recent: maybe(recent),
  ipvs: maybe(ipvs),
  conntrack,
  sockets,
  queues: maybe(list(u16, 65_536)),
  programs: maybe(programs),
  missing: list(text(4096), 100),
  anonymised: maybe(flag),
  identity: maybe(name),
  namespaces: maybe(list(object({ number: whole(), identity: name }))),
};

/** A snapshot. */
export const snapshotShape: Shape = object({
  ...place,
  places: maybe(list(object(place), 10_000)),
  objects: maybe(objects),
});

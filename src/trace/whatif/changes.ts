/** What somebody asks "what if" about: the file, read strictly. Pure. */

import type { TableFamily } from "../../kernel/nftables/index.ts";
import { parseYaml, YamlError } from "../../kube/yaml.ts";
import type { Address } from "../../net/address.ts";
import type { Prefix } from "../../net/prefix.ts";
import {
  address,
  type Fields,
  flag,
  list,
  maybe,
  object,
  oneOf,
  prefix,
  record,
  type Shape,
  ShapeError,
  text,
  whole,
} from "../snapshot/shape.ts";

/** Changes at one place: one document of the file. */
export interface Changes {
  /** The place's name, as a trace shows it; the first one's if it is not said. */
  readonly place?: string;
  /** By name with slashes or dots, as `sysctl` takes them. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** By name of the link. */
  readonly links?: Readonly<Record<string, { readonly up?: boolean; readonly mtu?: number }>>;
  /** Routes that are gone, all with that destination. */
  readonly deleteRoutes?: readonly { readonly destination: Prefix; readonly table?: number }[];
  readonly addRoutes?: readonly NewRoute[];
  /** Policies of base chains. */
  readonly policies?: readonly (ChainName & { readonly policy: "accept" | "drop" })[];
  /** Rules by the handles that `trace -v` and `nft -a list ruleset` show. */
  readonly deleteRules?: readonly (ChainName & { readonly handle: number })[];
  /** Manifests of Services, EndpointSlices and Endpoints that are new or replace those of their name, in all the cluster. */
  readonly apply?: readonly unknown[];
  /** Services and EndpointSlices that are gone, in all the cluster. */
  readonly delete?: readonly ObjectName[];
  /** How the service proxies of the cluster are configured, for {@link apply} and {@link delete}; absent: by default. */
  readonly proxy?: ProxyChoices;
  /** Commands as nft reads them, carried out on a copy of the place's rule set. */
  readonly nft?: string;
}

/** An object of the cluster. */
export interface ObjectName {
  readonly kind: "Service" | "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
}

/** What is not to be seen in a node's rules, and yet decides them. */
export interface ProxyChoices {
  /** Fields of a KubeProxyConfiguration. */
  readonly configuration?: Readonly<Record<string, unknown>>;
  /** The ranges of the cluster's ServiceCIDRs. */
  readonly serviceCIDRs?: readonly Prefix[];
}

/** A route that is new. */
export interface NewRoute {
  readonly destination: Prefix;
  readonly gateway?: Address;
  readonly interface?: string;
  readonly table?: number;
  readonly metric?: number;
}

/** A chain of nf_tables. */
export interface ChainName {
  readonly family: TableFamily;
  readonly table: string;
  readonly chain: string;
}

const name = text(256);
const u32 = whole(0, 0xffff_ffff);
const chain: Fields = { family: oneOf("inet", "ip", "ip6", "arp", "bridge", "netdev"), table: name, chain: name };
/** YAML takes `1` for a number, and sysctls are text. */
const scalar: Shape = (value, path) =>
  typeof value === "number" || typeof value === "boolean" ? String(Number(value)) : text(4096)(value, path);

/** Whoever uses it reads it strictly: the shapes of Kubernetes objects are the API's. */
const anything: Shape = (value) => value;

const shape = object({
  place: maybe(name),
  sysctls: maybe(record(scalar, 1000)),
  links: maybe(record(object({ up: maybe(flag), mtu: maybe(whole(68, 1 << 24)) }), 1000)),
  deleteRoutes: maybe(list(object({ destination: prefix, table: maybe(u32) }), 1000)),
  addRoutes: maybe(
    list(
      object({
        destination: prefix,
        gateway: maybe(address),
        interface: maybe(name),
        table: maybe(u32),
        metric: maybe(u32),
      }),
      1000,
    ),
  ),
  policies: maybe(list(object({ ...chain, policy: oneOf("accept", "drop") }), 1000)),
  deleteRules: maybe(list(object({ ...chain, handle: whole(1) }), 1000)),
  apply: maybe(list(anything, 10_000)),
  delete: maybe(list(object({ kind: oneOf("Service", "EndpointSlice"), namespace: name, name }), 10_000)),
  proxy: maybe(object({ configuration: maybe(record(anything, 100)), serviceCIDRs: maybe(list(prefix, 100)) })),
  nft: maybe(text(1_000_000)),
});

/**
 * Reads a file of changes: YAML or JSON, one document for each place.
 *
 * @param what names the file in errors.
 * @throws an Error that names the place of the first thing that is wrong.
 */
export function parseChanges(content: string, what: string): readonly Changes[] {
  try {
    return parseYaml(content).map(({ value, line }) => shape(value, `line ${line}`) as Changes);
  } catch (error) {
    if (error instanceof ShapeError) throw new Error(`${what}: ${error.message}`);
    if (error instanceof YamlError) throw new Error(`${what}: line ${error.line}: ${error.message}`);
    throw error;
  }
}

/** The directive `forward` and its properties. */

import { Resolver } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { tryParseAddress } from "../../../net/address.ts";
import { formatHostPort } from "../../../net/protocol.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import type { Site } from "../../server/site.ts";
import { readTlsFiles } from "../../server/tlsfiles.ts";
import { namesOf } from "../../server/zones.ts";
import { tryParseRcode } from "../../wire/codes.ts";
import { parseName, tryParseName } from "../../wire/names.ts";
import { type Destination, nameServersOf, parseDestination } from "./destination.ts";

/** How the next destination is chosen. */
export type Policy = "random" | "round_robin" | "sequential";

/** What a directive says. Times are in milliseconds. */
export interface ForwardOptions {
  readonly from: string;
  readonly destinations: readonly Destination[];
  /** Names below `from` that are not forwarded. */
  readonly except: readonly string[];
  readonly policy: Policy;
  readonly forceTcp: boolean;
  readonly preferUdp: boolean;
  /** Failed health checks in a row before a destination is taken for down; 0: never. */
  readonly maxFails: number;
  readonly maxConnectAttempts: number;
  readonly maxIdleConnections: number;
  readonly expire: number;
  readonly readTimeout: number;
  /** Queries under way; 0 for no limit. */
  readonly maxConcurrent: number;
  readonly healthEvery: number;
  readonly healthRecursion: boolean;
  readonly healthName: string;
  /** Codes for which the rest of the chain is asked. */
  readonly next: ReadonlySet<number>;
  readonly nextOnNoData: boolean;
  /** Codes for which the next destination is asked. */
  readonly failover: ReadonlySet<number>;
  readonly failFast: boolean;
  readonly sourceAddress: string | undefined;
  readonly tls: ConnectionOptions;
  readonly tlsServerName: string;
  readonly dohMethod: "GET" | "POST";
}

const maxDestinations = 15;
const many = Number.POSITIVE_INFINITY;

/**
 * Reads a directive; host names of destinations are resolved.
 *
 * @throws {CorefileError} if it is wrong.
 */
export async function parseOptions(stanza: Stanza, site: Site): Promise<ForwardOptions> {
  const [fromText = "", ...to] = stanza.expect(2, many);
  const [from = "."] = namesOf(stanza, [fromText]);
  let except: readonly string[] = [];
  let policy: Policy = "random";
  let forceTcp = false;
  let preferUdp = false;
  let maxFails = 2;
  let maxConnectAttempts: number | undefined;
  let maxIdleConnections = 256;
  let expire = 10_000;
  let readTimeout = 2000;
  let maxConcurrent = 0;
  let healthEvery = 500;
  let healthRecursion = true;
  let healthName = ".";
  const next = new Set<number>();
  const failover = new Set<number>();
  let nextOnNoData = false;
  let failFast = false;
  let sourceAddress: string | undefined;
  let tls: ConnectionOptions = {};
  let tlsServerName = "";
  let dohMethod: "GET" | "POST" = "POST";
  let resolvers: readonly string[] = [];
  for (const property of stanza.properties) {
    switch (property.name) {
      case "except":
        except = [...except, ...namesOf(property, property.expect(1, many))];
        break;
      case "force_tcp":
        property.expect(0);
        forceTcp = true;
        break;
      case "prefer_udp":
        property.expect(0);
        preferUdp = true;
        break;
      case "max_fails":
        maxFails = property.number(0, "max_fails", 0);
        break;
      case "max_connect_attempts":
        maxConnectAttempts = property.number(0, "max_connect_attempts", 0);
        break;
      case "max_idle_conns":
        maxIdleConnections = property.number(0, "max_idle_conns", 0);
        break;
      case "max_age":
      case "expire":
        property.expect(1);
        expire = property.duration(0, property.name);
        break;
      case "read_timeout":
        property.expect(1);
        readTimeout = property.duration(0, "read_timeout");
        break;
      case "max_concurrent":
        property.expect(1);
        maxConcurrent = property.number(0, "max_concurrent", 0);
        break;
      case "policy": {
        const [name] = property.expect(1);
        if (name !== "random" && name !== "round_robin" && name !== "sequential") {
          throw property.error(`'${name}' must be random, round_robin or sequential`);
        }
        policy = name;
        break;
      }
      case "health_check": {
        healthEvery = property.duration(0, "health_check");
        for (let i = 1; i < property.args.length; i++) {
          if (property.args[i] === "no_rec") healthRecursion = false;
          else if (property.args[i] === "domain") {
            const name = tryParseName(property.arg(++i, "the domain"));
            if (name === undefined) throw property.error(`'${property.args[i]}' is not a domain name`);
            healthName = name;
          } else throw property.error(`'${property.args[i]}' must be no_rec or domain`);
        }
        break;
      }
      case "next":
      case "failover":
        for (const text of property.expect(1, many)) {
          const code = tryParseRcode(text);
          if (code === undefined) throw property.error(`'${text}' is not a response code`);
          (property.name === "next" ? next : failover).add(code);
        }
        break;
      case "next_on_nodata":
        property.expect(0);
        nextOnNoData = true;
        break;
      case "failfast_all_unhealthy_upstreams":
        property.expect(0);
        failFast = true;
        break;
      case "source_address": {
        const [text = ""] = property.expect(1);
        sourceAddress = tryParseAddress(text);
        if (sourceAddress === undefined) throw property.error(`'${text}' is not an address`);
        break;
      }
      case "tls":
        tls = readTlsFiles(property, site);
        break;
      case "tls_servername":
        [tlsServerName = ""] = property.expect(1);
        break;
      case "doh_method": {
        const method = property.expect(1)[0]?.toUpperCase();
        if (method !== "GET" && method !== "POST") throw property.error(`'${property.args[0]}' must be GET or POST`);
        dohMethod = method;
        break;
      }
      case "resolver":
        resolvers = property.expect(1, many);
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  const destinations = await resolveAll(stanza, to, resolvers, site);
  if (destinations.length > maxDestinations) {
    throw stanza.error(`more than ${maxDestinations} destinations: ${destinations.length}`);
  }
  return {
    from,
    destinations,
    except,
    policy,
    forceTcp,
    // What is forced counts.
    preferUdp: preferUdp && !forceTcp,
    maxFails,
    maxConnectAttempts: maxConnectAttempts ?? 2 * destinations.length,
    maxIdleConnections,
    expire,
    readTimeout,
    maxConcurrent,
    healthEvery,
    healthRecursion,
    healthName: parseName(healthName),
    next,
    nextOnNoData,
    failover,
    failFast,
    sourceAddress,
    tls,
    tlsServerName,
    dohMethod,
  };
}

/** Destinations of all arguments; a file gives its name servers, a host name its addresses. */
async function resolveAll(
  stanza: Stanza,
  to: readonly string[],
  resolvers: readonly string[],
  site: Site,
): Promise<readonly Destination[]> {
  const all: Destination[] = [];
  for (const text of to) {
    const destination = parseDestination(text);
    if (destination !== undefined) {
      all.push(...(await resolveHost(stanza, destination, resolvers)));
      continue;
    }
    const path = site.path(text);
    if (!existsSync(path)) throw stanza.error(`'${text}' is not an address, a host name or a file`);
    const servers = nameServersOf(readFileSync(path, "utf8"));
    if (servers.length === 0) throw stanza.error(`${path} has no nameserver`);
    for (const server of servers) all.push(...[parseDestination(server)].filter((one) => one !== undefined));
  }
  return all;
}

async function resolveHost(
  stanza: Stanza,
  destination: Destination,
  resolvers: readonly string[],
): Promise<readonly Destination[]> {
  const { host } = destination;
  if (tryParseAddress(host) !== undefined) return [destination];
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (resolvers.length > 0) {
    resolver.setServers(
      resolvers.map((text) => {
        const server = parseDestination(text);
        if (server === undefined || tryParseAddress(server.host) === undefined) {
          throw stanza.error(`resolver '${text}' is not an address`);
        }
        return formatHostPort(server.host, server.port);
      }),
    );
  }
  const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const addresses = [four, six].flatMap((result) => (result.status === "fulfilled" ? result.value : []));
  if (addresses.length === 0) {
    const reason = four.status === "rejected" ? messageOf(four.reason) : "it has no address";
    throw stanza.error(`host ${host} cannot be resolved: ${reason}`);
  }
  const serverName = destination.serverName === "" ? host.replace(/\.$/, "") : destination.serverName;
  return addresses.map((address) => ({ ...destination, host: address, serverName }));
}

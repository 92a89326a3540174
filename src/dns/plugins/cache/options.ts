/** The directive `cache` and its properties. */
import type { Stanza } from "../../corefile/stanza.ts";
import type { Site } from "../../server/site.ts";
import { namesOf, zonesOf } from "../../server/zones.ts";

/** Limits of one store; TTLs in seconds. */
export interface StoreOptions {
  readonly capacity: number;
  readonly maxTtl: number;
  readonly minTtl: number;
  /** Zones of which nothing is kept. */
  readonly disabled: readonly string[];
}

/** Replies past their time are served while the source does not answer. Times in milliseconds, TTL in seconds. */
export interface StaleOptions {
  readonly upTo: number;
  /** Asks the source first, for at most `timeout`; otherwise the stale reply is given at once. */
  readonly verify: boolean;
  readonly timeout: number;
  readonly ttl: number;
  /** The pause between attempts to refresh. */
  readonly recheck: number;
}

/** What a directive says. */
export interface CacheOptions {
  readonly zones: readonly string[];
  readonly success: StoreOptions;
  readonly denial: StoreOptions;
  /** Milliseconds that failures are kept; 0: not at all. */
  readonly failureTime: number;
  readonly prefetch: { readonly amount: number; readonly pause: number; readonly percentage: number } | undefined;
  readonly stale: StaleOptions | undefined;
  readonly preferPositive: boolean;
  readonly keepTtl: boolean;
}

const shards = 256;
const defaultCapacity = 9984;
const minCapacity = 1024;
const maxFailureTime = 300_000;

/**
 * Reads a directive.
 *
 * @throws {CorefileError} if it is wrong.
 */
export function parseOptions(stanza: Stanza, site: Site): CacheOptions {
  let success: StoreOptions = { capacity: defaultCapacity, maxTtl: 3600, minTtl: 5, disabled: [] };
  let denial: StoreOptions = { capacity: defaultCapacity, maxTtl: 1800, minTtl: 5, disabled: [] };
  let args = stanza.args;
  if (/^-?\d+$/.test(args[0] ?? "")) {
    const maxTtl = stanza.number(0, "the TTL", 1);
    success = { ...success, maxTtl };
    denial = { ...denial, maxTtl };
    args = args.slice(1);
  }
  const zones = zonesOf(stanza, args, site);
  let failureTime = 5000;
  let prefetch: CacheOptions["prefetch"];
  let stale: StaleOptions | undefined;
  let preferPositive = false;
  let keepTtl = false;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "success":
        success = { ...success, ...storeOptions(property) };
        break;
      case "denial":
        denial = { ...denial, ...storeOptions(property) };
        break;
      case "servfail":
        property.expect(1);
        failureTime = property.duration(0, "servfail");
        if (failureTime > maxFailureTime) throw property.error("failures may be kept for 5m at most (RFC 2308 7)");
        break;
      case "prefetch":
        prefetch = prefetchOptions(property);
        break;
      case "serve_stale":
        stale = staleOptions(property);
        break;
      case "serve_stale_policy":
        if (property.expect(1)[0] !== "prefer_positive")
          throw property.error(`'${property.args[0]}' must be prefer_positive`);
        preferPositive = true;
        break;
      case "keepttl":
        property.expect(0);
        keepTtl = true;
        break;
      case "disable": {
        const [kind, ...names] = property.expect(1, Number.POSITIVE_INFINITY);
        const disabled = names.length === 0 ? site.zones : namesOf(property, names);
        if (kind === "success") success = { ...success, disabled };
        else if (kind === "denial") denial = { ...denial, disabled };
        else throw property.error(`'${kind}' must be success or denial`);
        break;
      }
      default:
        throw stanza.unknown(property);
    }
  }
  return { zones, success, denial, failureTime, prefetch, stale, preferPositive, keepTtl };
}

/** `success|denial CAPACITY [TTL] [MINTTL]` */
function storeOptions(property: Stanza): Partial<StoreOptions> {
  property.expect(1, 3);
  const wanted = property.number(0, "the capacity", 0);
  const capacity = Math.max(minCapacity, Math.floor(wanted / shards) * shards);
  const maxTtl = property.args.length > 1 ? { maxTtl: property.number(1, "the TTL", 1) } : {};
  const minTtl = property.args.length > 2 ? { minTtl: property.number(2, "the smallest TTL", 0) } : {};
  return { capacity, ...maxTtl, ...minTtl };
}

/** `prefetch AMOUNT [DURATION [PERCENTAGE%]]` */
function prefetchOptions(property: Stanza): CacheOptions["prefetch"] {
  property.expect(1, 3);
  const amount = property.number(0, "the amount", 0);
  const pause = property.args.length > 1 ? property.duration(1, "the duration") : 60_000;
  const percentage = property.args.length > 2 ? Number(/^(\d{1,3})%$/.exec(property.arg(2, ""))?.[1]) : 10;
  if (!(percentage >= 10 && percentage <= 90)) throw property.error("the percentage must be from 10% to 90%");
  return amount === 0 ? undefined : { amount, pause, percentage };
}

/** `serve_stale [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]` */
function staleOptions(property: Stanza): StaleOptions {
  property.expect(0, 5);
  let at = 0;
  let upTo = 3_600_000;
  const first = property.args[0];
  if (first !== undefined && first !== "immediate" && first !== "verify") {
    upTo = property.duration(0, "the duration");
    if (upTo === 0) throw property.error("the duration must be above 0");
    at = 1;
  }
  const mode = property.args[at] ?? "immediate";
  if (mode !== "immediate" && mode !== "verify") throw property.error(`'${mode}' must be immediate or verify`);
  at++;
  const has = () => property.args.length > at;
  const timeout = mode === "verify" && has() ? property.duration(at++, "the timeout") : 0;
  const ttl = has() ? property.duration(at++, "the TTL", 1000) / 1000 : 0;
  const recheck = has() ? property.duration(at++, "the recheck interval") : 0;
  if (has()) throw property.error(`'${property.args[at]}' is superfluous`);
  return { upTo, verify: mode === "verify", timeout, ttl, recheck };
}

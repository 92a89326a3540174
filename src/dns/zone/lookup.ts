/** What a zone answers (RFC 1034 4.3.2, RFC 4592, RFC 6672). Pure. */
import { CLASS, RCODE, TYPE } from "../wire/codes.ts";
import { isWithin, nextLabel, parentOf, wireLength } from "../wire/names.ts";
import { is, type ResourceRecord, record } from "../wire/record.ts";
import type { Zone, ZoneNode } from "./zone.ts";

/** What a zone has to say about a name and type. */
export interface ZoneAnswer {
  readonly rcode: number;
  readonly answer: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
  /** True if another server is responsible for the name: the answer is not authoritative. */
  readonly referral: boolean;
  /** The answer ends in an alias for this name, which lies outside of the zone. */
  readonly alias: string | undefined;
}

/** Aliases that are followed. */
const maxAliases = 8;

/** Collects an answer. */
interface Draft {
  readonly answer: ResourceRecord[];
  readonly authority: ResourceRecord[];
  readonly additional: ResourceRecord[];
}

/**
 * Looks a name of the zone up.
 *
 * @param name as it was asked; owners of the answer are spelled like it.
 * @param dnssec true to have signatures and proofs too.
 */
export function lookUp(zone: Zone, name: string, type: number, dnssec: boolean): ZoneAnswer {
  const draft: Draft = { answer: [], authority: [], additional: [] };
  const seen = new Set<string>();
  let current = name;
  for (let i = 0; i <= maxAliases; i++) {
    const lower = current.toLowerCase();
    if (!isWithin(lower, zone.origin)) return finish(draft, RCODE.NOERROR, false, current);
    if (seen.has(lower)) break;
    seen.add(lower);
    const step = lookUpOnce(zone, current, lower, type, dnssec, draft);
    if (step.kind === "done") return finish(draft, step.rcode, step.referral, undefined);
    current = step.target;
  }
  return finish(draft, draft.answer.length > 0 ? RCODE.NOERROR : RCODE.SERVFAIL, false, undefined);
}

type Step =
  | { readonly kind: "done"; readonly rcode: number; readonly referral: boolean }
  | { readonly kind: "alias"; readonly target: string };

const done = (rcode: number, referral = false): Step => ({ kind: "done", rcode, referral });

function lookUpOnce(zone: Zone, name: string, lower: string, type: number, dnssec: boolean, draft: Draft): Step {
  const cut = cutAbove(zone, lower, type);
  if (cut?.kind === "delegation") {
    refer(zone, cut.name, cut.node, dnssec, draft);
    return done(RCODE.NOERROR, draft.answer.length === 0);
  }
  if (cut?.kind === "dname") return redirect(cut.name, cut.node, name, dnssec, draft);
  const node = zone.node(lower);
  if (node !== undefined) return answerFrom(zone, node, name, lower, type, dnssec, draft);
  const encloser = closestEncloser(zone, lower);
  const wildcard = zone.node(encloser === "." ? "*." : `*.${encloser}`);
  if (wildcard !== undefined) {
    // That the name itself does not exist must be proved (RFC 4035 3.1.3.3).
    const step = answerFrom(zone, wildcard, name, lower, type, dnssec, draft);
    if (dnssec) addProof(zone, zone.covering(lower), draft);
    return step;
  }
  deny(zone, dnssec, draft);
  if (dnssec) {
    const proofs = new Set([zone.covering(lower), zone.covering(`*.${encloser}`)]);
    for (const owner of proofs) addProof(zone, owner, draft);
  }
  return done(RCODE.NXDOMAIN);
}

/** The highest name between the zone and a name where another zone begins, or that is redirected. */
function cutAbove(
  zone: Zone,
  lower: string,
  type: number,
): { readonly kind: "delegation" | "dname"; readonly name: string; readonly node: ZoneNode } | undefined {
  const starts: number[] = [];
  for (let at = 0; lower.length - at > zone.origin.length && at < lower.length; at = nextLabel(lower, at))
    starts.push(at);
  // A DNAME at the apex redirects everything below it.
  if (starts.length > 0 && zone.apex.records.has(TYPE.DNAME)) {
    return { kind: "dname", name: zone.origin, node: zone.apex };
  }
  for (const start of starts.reverse()) {
    const name = lower.slice(start);
    const node = zone.node(name);
    if (node === undefined) return undefined;
    if (node.records.has(TYPE.NS) && !(start === 0 && type === TYPE.DS)) return { kind: "delegation", name, node };
    if (start > 0 && node.records.has(TYPE.DNAME)) return { kind: "dname", name, node };
  }
  return undefined;
}

function refer(zone: Zone, name: string, node: ZoneNode, dnssec: boolean, draft: Draft): void {
  const servers = node.records.get(TYPE.NS) ?? [];
  draft.authority.push(...servers);
  if (dnssec) {
    const signers = node.records.get(TYPE.DS);
    if (signers !== undefined) draft.authority.push(...signers, ...(node.signatures.get(TYPE.DS) ?? []));
    else addProof(zone, zone.covering(name), draft);
  }
  addAddresses(zone, servers, draft);
}

/** The redirection of everything below a name (RFC 6672): the DNAME, and a CNAME made of it. */
function redirect(owner: string, node: ZoneNode, name: string, dnssec: boolean, draft: Draft): Step {
  const [dname] = node.records.get(TYPE.DNAME) ?? [];
  if (dname === undefined || !is(dname, "DNAME")) return done(RCODE.SERVFAIL);
  draft.answer.push(dname, ...(dnssec ? (node.signatures.get(TYPE.DNAME) ?? []) : []));
  const prefix = name.slice(0, name.length - (owner === "." ? 0 : owner.length));
  const target = dname.data.host === "." ? prefix : prefix + dname.data.host;
  if (wireLength(target) === undefined) return done(RCODE.YXDOMAIN);
  draft.answer.push(record(name, "CNAME", dname.ttl, { host: target }));
  return { kind: "alias", target };
}

/** The answer of a node, which may be a wildcard: owners are spelled as the name that was asked for. */
function answerFrom(
  zone: Zone,
  node: ZoneNode,
  name: string,
  lower: string,
  type: number,
  dnssec: boolean,
  draft: Draft,
): Step {
  const add = (records: readonly ResourceRecord[] | undefined) => {
    for (const one of records ?? []) draft.answer.push(one.name === name ? one : { ...one, name });
  };
  const [alias] = node.records.get(TYPE.CNAME) ?? [];
  if (alias !== undefined && is(alias, "CNAME") && type !== TYPE.CNAME && type !== TYPE.ANY && type !== TYPE.NSEC) {
    add([alias]);
    if (dnssec) add(node.signatures.get(TYPE.CNAME));
    return { kind: "alias", target: alias.data.host };
  }
  const found = type === TYPE.ANY ? [...node.records.values()].flat() : node.records.get(type);
  if (found === undefined || found.length === 0) {
    deny(zone, dnssec, draft);
    if (dnssec) addProof(zone, node.records.has(TYPE.NSEC) ? lower : zone.covering(lower), draft);
    return done(RCODE.NOERROR);
  }
  add(found);
  if (dnssec) add(node.signatures.get(type));
  const servers = zone.apex.records.get(TYPE.NS) ?? [];
  if (type !== TYPE.NS || lower !== zone.origin) {
    draft.authority.push(...servers, ...(dnssec ? (zone.apex.signatures.get(TYPE.NS) ?? []) : []));
  }
  addAddresses(zone, found, draft);
  return done(RCODE.NOERROR);
}

/** The SOA record, whose TTL says how long the denial may be kept (RFC 2308 3). */
function deny(zone: Zone, dnssec: boolean, draft: Draft): void {
  draft.authority.push(zone.soa, ...(dnssec ? (zone.apex.signatures.get(TYPE.SOA) ?? []) : []));
}

function addProof(zone: Zone, owner: string | undefined, draft: Draft): void {
  const node = owner === undefined ? undefined : zone.node(owner);
  if (node === undefined) return;
  const proof = [...(node.records.get(TYPE.NSEC) ?? []), ...(node.signatures.get(TYPE.NSEC) ?? [])];
  if (proof[0] !== undefined && !draft.authority.includes(proof[0])) draft.authority.push(...proof);
}

/** The addresses that the zone has of servers, exchangers and other targets. */
function addAddresses(zone: Zone, records: readonly ResourceRecord[], draft: Draft): void {
  const targets = new Set<string>();
  for (const one of records) {
    if (one.class === CLASS.IN && (is(one, "NS") || is(one, "MX") || is(one, "SRV"))) {
      targets.add(one.data.host.toLowerCase());
    }
  }
  for (const target of targets) {
    const node = isWithin(target, zone.origin) ? zone.node(target) : undefined;
    draft.additional.push(...(node?.records.get(TYPE.A) ?? []), ...(node?.records.get(TYPE.AAAA) ?? []));
  }
}

function closestEncloser(zone: Zone, lower: string): string {
  let name = parentOf(lower);
  while (name !== zone.origin && zone.node(name) === undefined) name = parentOf(name);
  return name;
}

function finish(draft: Draft, rcode: number, referral: boolean, alias: string | undefined): ZoneAnswer {
  return { ...draft, rcode, referral, alias };
}

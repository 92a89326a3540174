/** What the data of each record type consists of: the one table behind both formats. */

import { TYPE, type TypeName } from "./codes.ts";
import {
  base32,
  base64,
  domain,
  type Field,
  hex,
  ipv4,
  ipv6,
  longText,
  moment,
  plainDomain,
  recordType,
  salt,
  seconds,
  tag,
  text,
  texts,
  typeSet,
  u8,
  u16,
  u32,
} from "./fields.ts";
import { position } from "./loc.ts";
import { serviceParameters } from "./svcb.ts";

const host = { host: domain };
const mailbox = { mailbox: domain };
const preferred = { preference: u16, host: plainDomain };
const delegation = { keyTag: u16, algorithm: u8, digestType: u8, digest: hex };
const key = { flags: u16, protocol: u8, algorithm: u8, publicKey: base64 };
const certificate = { usage: u8, selector: u8, matching: u8, data: hex };
const binding = { priority: u16, target: plainDomain, parameters: serviceParameters };
const strings = { texts };
const signature = {
  covered: recordType,
  algorithm: u8,
  labels: u8,
  originalTtl: u32,
  expiration: moment,
  inception: moment,
  keyTag: u16,
  signer: plainDomain,
  signature: base64,
};

/** Field by field, the data of the types that are known; all others are bytes (RFC 3597). */
export const layouts = {
  A: { address: ipv4 },
  NS: host,
  MD: host,
  MF: host,
  CNAME: host,
  SOA: {
    primary: domain,
    mailbox: domain,
    serial: u32,
    refresh: seconds,
    retry: seconds,
    expire: seconds,
    minimum: seconds,
  },
  MB: host,
  MG: mailbox,
  MR: mailbox,
  PTR: host,
  HINFO: { cpu: text, os: text },
  MINFO: { responsible: domain, errors: domain },
  MX: { preference: u16, host: domain },
  TXT: strings,
  RP: { mailbox: plainDomain, text: plainDomain },
  AFSDB: preferred,
  RT: preferred,
  SIG: signature,
  KEY: key,
  PX: { preference: u16, map822: plainDomain, mapX400: plainDomain },
  AAAA: { address: ipv6 },
  LOC: { position },
  SRV: { priority: u16, weight: u16, port: u16, host: plainDomain },
  NAPTR: { order: u16, preference: u16, flags: text, services: text, pattern: text, replacement: plainDomain },
  KX: preferred,
  CERT: { certificateType: u16, keyTag: u16, algorithm: u8, certificate: base64 },
  DNAME: { host: plainDomain },
  DS: delegation,
  SSHFP: { algorithm: u8, fingerprintType: u8, fingerprint: hex },
  RRSIG: signature,
  NSEC: { next: plainDomain, types: typeSet },
  DNSKEY: key,
  DHCID: { digest: base64 },
  NSEC3: { hash: u8, flags: u8, iterations: u16, salt, next: base32, types: typeSet },
  NSEC3PARAM: { hash: u8, flags: u8, iterations: u16, salt },
  TLSA: certificate,
  SMIMEA: certificate,
  CDS: delegation,
  CDNSKEY: key,
  OPENPGPKEY: { publicKey: base64 },
  CSYNC: { serial: u32, flags: u16, types: typeSet },
  ZONEMD: { serial: u32, scheme: u8, hash: u8, digest: hex },
  SVCB: binding,
  HTTPS: binding,
  SPF: strings,
  URI: { priority: u16, weight: u16, target: longText },
  CAA: { flags: u8, tag, value: longText },
} satisfies Partial<Record<TypeName, Readonly<Record<string, Field<unknown>>>>>;

/** A record type whose data has named fields. */
export type KnownType = keyof typeof layouts;

type DataOf<Layout> = { readonly [K in keyof Layout]: Layout[K] extends Field<infer T> ? T : never };

/** The data of each known type; `UNKNOWN` is that of all others. */
export type RecordData = { readonly [K in KnownType]: DataOf<(typeof layouts)[K]> } & {
  readonly UNKNOWN: { readonly bytes: Uint8Array };
};

/** The fields of a type number in order; undefined for types that are bytes. */
export const fieldsOf: ReadonlyMap<number, readonly (readonly [string, Field<unknown>])[]> = new Map(
  Object.entries(layouts).map(([name, layout]) => [
    TYPE[name as KnownType],
    Object.entries(layout as Readonly<Record<string, Field<unknown>>>),
  ]),
);

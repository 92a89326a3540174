/** The numbers of DNS: record types, classes, response codes, opcodes and EDNS options (IANA "DNS Parameters"). */

/** Record types and query types by mnemonic. Types that are not here are written `TYPE123` (RFC 3597). */
export const TYPE = {
  A: 1,
  NS: 2,
  MD: 3,
  MF: 4,
  CNAME: 5,
  SOA: 6,
  MB: 7,
  MG: 8,
  MR: 9,
  NULL: 10,
  PTR: 12,
  HINFO: 13,
  MINFO: 14,
  MX: 15,
  TXT: 16,
  RP: 17,
  AFSDB: 18,
  RT: 21,
  SIG: 24,
  KEY: 25,
  PX: 26,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  KX: 36,
  CERT: 37,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  DHCID: 49,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  SMIMEA: 53,
  CDS: 59,
  CDNSKEY: 60,
  OPENPGPKEY: 61,
  CSYNC: 62,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  EUI48: 108,
  EUI64: 109,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const;

/** A mnemonic of {@link TYPE}. */
export type TypeName = keyof typeof TYPE;

/** Classes by mnemonic. */
export const CLASS = { IN: 1, CS: 2, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;

/** Response codes by mnemonic; those above 15 need EDNS (RFC 6891). */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
  BADKEY: 17,
  BADTIME: 18,
  BADMODE: 19,
  BADNAME: 20,
  BADALG: 21,
  BADTRUNC: 22,
  BADCOOKIE: 23,
} as const;

/** Operation codes by mnemonic. */
export const OPCODE = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5 } as const;

/** EDNS option codes by mnemonic. */
export const OPTION = {
  LLQ: 1,
  NSID: 3,
  SUBNET: 8,
  EXPIRE: 9,
  COOKIE: 10,
  TCP_KEEPALIVE: 11,
  PADDING: 12,
  EDE: 15,
} as const;

const inverse = (table: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(table).map(([name, number]) => [number, name]));

const typeNames = inverse(TYPE);
const classNames = inverse(CLASS);
const rcodeNames = inverse(RCODE);

/** The mnemonic of a type, or `TYPE123` (RFC 3597). */
export function typeName(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`;
}

/** The mnemonic of a class, or `CLASS123` (RFC 3597). */
export function className(cls: number): string {
  return classNames.get(cls) ?? `CLASS${cls}`;
}

/** The mnemonic of a response code, or its number. */
export function rcodeName(rcode: number): string {
  return rcodeNames.get(rcode) ?? String(rcode);
}

/** The number of a type by mnemonic in any case or as `TYPE123`; undefined if it is neither. */
export function tryParseType(text: string): number | undefined {
  return numberOf(TYPE, "TYPE", text);
}

/** The number of a class by mnemonic in any case or as `CLASS123`; undefined if it is neither. */
export function tryParseClass(text: string): number | undefined {
  return numberOf(CLASS, "CLASS", text);
}

/** The number of a response code by mnemonic in any case; undefined if it is none. */
export function tryParseRcode(text: string): number | undefined {
  const upper = text.toUpperCase();
  return Object.hasOwn(RCODE, upper) ? RCODE[upper as keyof typeof RCODE] : undefined;
}

function numberOf(table: Readonly<Record<string, number>>, prefix: string, text: string): number | undefined {
  const upper = text.toUpperCase();
  if (Object.hasOwn(table, upper)) return table[upper];
  if (!upper.startsWith(prefix)) return undefined;
  const digits = upper.slice(prefix.length);
  return /^[0-9]{1,5}$/.test(digits) && Number(digits) <= 65535 ? Number(digits) : undefined;
}

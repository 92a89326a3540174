/** Keys that zones are signed with, in the files that `dnssec-keygen` and `ldns-keygen` write (K<zone>+<alg>+<tag>.key). */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { parseRecord } from "../wire/parse.ts";
import { is, type ResourceRecord, writeData } from "../wire/record.ts";
import { Writer } from "../wire/writer.ts";

/** Algorithms (IANA "DNS Security Algorithm Numbers") that can sign. */
export const algorithms = {
  RSASHA256: 8,
  RSASHA512: 10,
  ECDSAP256SHA256: 13,
  ECDSAP384SHA384: 14,
  ED25519: 15,
} as const;

/** A key of a zone. */
export interface ZoneKey {
  readonly record: ResourceRecord<"DNSKEY">;
  /** The zone, in lower case. */
  readonly zone: string;
  readonly tag: number;
  /** True for a key-signing key: it has the SEP flag (RFC 4034 2.1.1). */
  readonly signsKeys: boolean;
  /** Signs bytes. */
  sign(bytes: Uint8Array): Uint8Array;
}

/** DNSKEY flags: SEP marks keys that sign keys. */
const SEP = 1;

/**
 * Reads a key of its two files.
 *
 * @param publicText the content of the `.key` file: a DNSKEY record.
 * @param privateText the content of the `.private` file.
 * @throws {TypeError} if they are not a key that can sign.
 */
export function parseKey(publicText: string, privateText: string): ZoneKey {
  const line = publicText.split("\n").find((one) => one.trim() !== "" && !one.startsWith(";")) ?? "";
  const record = parseRecord(line);
  if (!is(record, "DNSKEY")) throw new TypeError("the key file has no DNSKEY record");
  const fields = new Map(
    privateText.split("\n").flatMap((one) => {
      const colon = one.indexOf(":");
      return colon < 0 ? [] : [[one.slice(0, colon).trim(), one.slice(colon + 1).trim()] as const];
    }),
  );
  const { algorithm } = record.data;
  const key = privateKey(algorithm, record.data.publicKey, fields);
  return {
    record,
    zone: record.name.toLowerCase(),
    tag: keyTag(record),
    signsKeys: (record.data.flags & SEP) !== 0,
    sign: signer(algorithm, key),
  };
}

function privateKey(algorithm: number, publicKey: Uint8Array, fields: ReadonlyMap<string, string>): KeyObject {
  const url = (name: string) => {
    const value = fields.get(name);
    if (value === undefined) throw new TypeError(`the private key has no ${name}`);
    return Buffer.from(value, "base64").toString("base64url");
  };
  switch (algorithm) {
    case algorithms.ECDSAP256SHA256:
    case algorithms.ECDSAP384SHA384: {
      const half = publicKey.length / 2;
      const [x, y] = [publicKey.subarray(0, half), publicKey.subarray(half)].map((part) =>
        Buffer.from(part).toString("base64url"),
      );
      const crv = algorithm === algorithms.ECDSAP256SHA256 ? "P-256" : "P-384";
      return fromJwk({ kty: "EC", crv, x, y, d: url("PrivateKey") });
    }
    case algorithms.ED25519: {
      const x = Buffer.from(publicKey).toString("base64url");
      return fromJwk({ kty: "OKP", crv: "Ed25519", x, d: url("PrivateKey") });
    }
    case algorithms.RSASHA256:
    case algorithms.RSASHA512:
      return fromJwk({
        kty: "RSA",
        n: url("Modulus"),
        e: url("PublicExponent"),
        d: url("PrivateExponent"),
        p: url("Prime1"),
        q: url("Prime2"),
        dp: url("Exponent1"),
        dq: url("Exponent2"),
        qi: url("Coefficient"),
      });
    default:
      throw new TypeError(`algorithm ${algorithm} cannot sign: use ${Object.keys(algorithms).join(", ")}`);
  }
}

function fromJwk(key: Readonly<Record<string, string | undefined>>): KeyObject {
  const made = createPrivateKey({ key: key as never, format: "jwk" });
  createPublicKey(made);
  return made;
}

function signer(algorithm: number, key: KeyObject): (bytes: Uint8Array) => Uint8Array {
  switch (algorithm) {
    case algorithms.ECDSAP256SHA256:
      return (bytes) => sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" });
    case algorithms.ECDSAP384SHA384:
      return (bytes) => sign("sha384", bytes, { key, dsaEncoding: "ieee-p1363" });
    case algorithms.RSASHA256:
      return (bytes) => sign("sha256", bytes, key);
    case algorithms.RSASHA512:
      return (bytes) => sign("sha512", bytes, key);
    default:
      return (bytes) => sign(null, bytes, key);
  }
}

/** The tag of a key (RFC 4034 appendix B). */
export function keyTag({ type, data }: ResourceRecord<"DNSKEY">): number {
  const writer = new Writer();
  writer.begin();
  writeData(writer, type, data);
  let sum = 0;
  for (const [i, byte] of writer.message().entries()) sum += i % 2 === 0 ? byte << 8 : byte;
  return (sum + (sum >>> 16)) & 0xffff;
}

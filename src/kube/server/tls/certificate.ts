/** Certificates for a server on this machine: an authority and what it signs (RFC 5280), P-256 with SHA-256 (RFC 5480). */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { addressBytes, tryParseAddress } from "../../../net/address.ts";
import {
  bitString,
  integer,
  objectIdentifier,
  octetString,
  pem,
  sequence,
  setOf,
  tagged,
  time,
  utf8String,
  yes,
} from "./der.ts";

/** A certificate with its private key, both as PEM text. */
export interface Credential {
  readonly certificate: string;
  readonly key: string;
}

/** An authority that signs: what {@link createAuthority} made, ready for use. */
export interface Authority extends Credential {
  readonly commonName: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const ecdsaWithSha256 = sequence(objectIdentifier("1.2.840.10045.4.3.2"));
const day = 24 * 60 * 60 * 1000;

/** A new authority, valid from an hour before `now` for ten years. */
export function createAuthority(commonName: string, now: Date): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const keyUsage = extension("2.5.29.15", true, bitString(Uint8Array.of(0x06), 1)); // keyCertSign, cRLSign
  const basic = extension("2.5.29.19", true, sequence(yes)); // cA
  const extensions = [basic, keyUsage, subjectKeyIdentifier(publicKey)];
  const issuer = { commonName, privateKey };
  const certificate = signed({ commonName, publicKey, issuer, from: before(now), until: after(now, 3650), extensions });
  return { certificate, key: keyText(privateKey), commonName, privateKey, publicKey };
}

/**
 * A new server certificate for names and addresses, signed by an authority, valid from an hour before `now` for a year.
 *
 * @throws {RangeError} without any name.
 */
export function createServerCertificate(authority: Authority, names: readonly string[], now: Date): Credential {
  if (names.length === 0) throw new RangeError("a server certificate needs at least one name or address");
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const alternatives = names.map((name) => {
    const address = tryParseAddress(name);
    return address === undefined ? tagged(0x82, Buffer.from(name)) : tagged(0x87, addressBytes(address));
  });
  const extensions = [
    extension("2.5.29.19", true, sequence()), // not an authority
    extension("2.5.29.15", true, bitString(Uint8Array.of(0x80), 7)), // digitalSignature
    extension("2.5.29.37", false, sequence(objectIdentifier("1.3.6.1.5.5.7.3.1"))), // serverAuth
    extension("2.5.29.17", false, sequence(...alternatives)),
    extension("2.5.29.35", false, sequence(tagged(0x80, keyIdentifier(authority.publicKey)))),
  ];
  const [commonName = ""] = names;
  const certificate = signed({
    commonName,
    publicKey,
    issuer: authority,
    from: before(now),
    until: after(now, 365),
    extensions,
  });
  return { certificate, key: keyText(privateKey) };
}

interface Content {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  readonly issuer: { readonly commonName: string; readonly privateKey: KeyObject };
  readonly from: Date;
  readonly until: Date;
  readonly extensions: readonly Uint8Array[];
}

function signed(content: Content): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    tagged(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    ecdsaWithSha256,
    nameOf(content.issuer.commonName),
    sequence(time(content.from), time(content.until)),
    nameOf(content.commonName),
    content.publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...content.extensions)),
  );
  const signature = sign("sha256", body, content.issuer.privateKey);
  return pem("CERTIFICATE", sequence(body, ecdsaWithSha256, bitString(signature)));
}

function nameOf(commonName: string): Uint8Array {
  return sequence(setOf(sequence(objectIdentifier("2.5.4.3"), utf8String(commonName))));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(objectIdentifier(id), ...(critical ? [yes] : []), octetString(value));
}

function subjectKeyIdentifier(key: KeyObject): Uint8Array {
  return extension("2.5.29.14", false, octetString(keyIdentifier(key)));
}

/** RFC 7093, method 1: 20 bytes of the SHA-256 of the key. */
function keyIdentifier(key: KeyObject): Uint8Array {
  return createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest()
    .subarray(0, 20);
}

function keyText(key: KeyObject): string {
  return String(key.export({ type: "pkcs8", format: "pem" }));
}

function before(now: Date): Date {
  return new Date(now.getTime() - 60 * 60 * 1000);
}

function after(now: Date, days: number): Date {
  return new Date(now.getTime() + days * day);
}

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { createAuthority, createServerCertificate } from "./certificate.ts";
import { integer, objectIdentifier, sequence, tagged, time } from "./der.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("DER values are encoded as X.690 says", () => {
  assert.equal(hex(integer(Uint8Array.of(0))), "020100");
  assert.equal(hex(integer(Uint8Array.of(0x80))), "02020080");
  assert.equal(hex(integer(Uint8Array.of(0, 0, 1))), "020101");
  assert.equal(hex(objectIdentifier("1.2.840.113549")), "06062a864886f70d");
  assert.equal(hex(sequence()), "3000");
  assert.equal(hex(tagged(4, new Uint8Array(200)).subarray(0, 3)), "0481c8");
  assert.equal(hex(tagged(4, new Uint8Array(300)).subarray(0, 4)), "0482012c");
  assert.equal(Buffer.from(time(new Date("2049-12-31T23:59:59Z")).subarray(2)).toString(), "491231235959Z");
  assert.equal(Buffer.from(time(new Date("2050-01-01T00:00:00Z")).subarray(2)).toString(), "20500101000000Z");
});

test("a server certificate is signed by its authority and names what it was made for", () => {
  const now = new Date("2026-06-01T00:00:00Z");
  const authority = createAuthority("portolan", now);
  const server = createServerCertificate(authority, ["localhost", "127.0.0.1", "::1"], now);
  const ca = new X509Certificate(authority.certificate);
  const leaf = new X509Certificate(server.certificate);
  assert.ok(ca.ca && ca.verify(ca.publicKey));
  assert.ok(!leaf.ca && leaf.verify(ca.publicKey) && leaf.checkIssued(ca));
  assert.equal(leaf.checkHost("localhost"), "localhost");
  assert.equal(leaf.checkIP("127.0.0.1"), "127.0.0.1");
  assert.equal(leaf.checkIP("::1"), "::1");
  assert.equal(leaf.checkIP("127.0.0.2"), undefined);
  assert.equal(new Date(leaf.validTo).toISOString(), "2027-06-01T00:00:00.000Z");
});

test("a TLS client that trusts the authority trusts the server, and no other does", async () => {
  const authority = createAuthority("portolan", new Date());
  const { certificate, key } = createServerCertificate(authority, ["127.0.0.1"], new Date());
  const server = createServer({ cert: certificate, key }, (socket) => socket.end("ok"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const dial = async (ca: string): Promise<TLSSocket> => {
    const socket = connect({ port: address.port, host: "127.0.0.1", ca });
    await once(socket, "secureConnect");
    socket.destroy();
    return socket;
  };
  try {
    assert.ok((await dial(authority.certificate)).authorized);
    await assert.rejects(dial(createAuthority("other", new Date()).certificate));
  } finally {
    server.close();
  }
});

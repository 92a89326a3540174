/** Plugin local: answers names that concern this machine only, so that they do not leave it (RFC 6303, RFC 6761). */
import type { Address } from "../../../net/address.ts";
import type { Plugin } from "../../server/plugin.ts";
import { reply } from "../../server/reply.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import { isWithin } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";

const ttl = 86_400;
const loopback4 = "1.0.0.127.in-addr.arpa.";
const loopback6 = `1.${"0.".repeat(31)}ip6.arpa.`;
const zones = ["localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa.", loopback6];

/** The plugin. */
export const local: Plugin = {
  name: "local",
  setup(stanzas, site) {
    for (const stanza of stanzas) stanza.expect(0);
    const count = site.env.metrics
      .counters("coredns_local_localhost_requests_total", "Queries for localhost.<domain>.")
      .labels();
    return {
      name: "local",
      serve(query, next) {
        const { name, type, question, message } = query;
        // A search path puts domains behind it: localhost.default.svc.cluster.local.
        if (name.startsWith("localhost.") && name !== "localhost.") {
          count.add(1);
          const answer = addresses(question.name, type);
          return reply(message, answer.length > 0 ? { answer } : { authority: [soa("localhost.")] });
        }
        const zone = zones.find((one) => isWithin(name, one));
        if (zone === undefined) return next(query);
        const answer = recordsOf(question.name, name, type, zone);
        if (answer.length > 0) return reply(message, { answer });
        const exists = name === zone || name === loopback4 || name === loopback6;
        return reply(message, { rcode: exists ? RCODE.NOERROR : RCODE.NXDOMAIN, authority: [soa(zone)] });
      },
    };
  },
};

function recordsOf(owner: string, name: string, type: number, zone: string): readonly ResourceRecord[] {
  if (name === zone && type === TYPE.SOA) return [soa(owner)];
  if (name === zone && type === TYPE.NS) return [record(owner, "NS", ttl, { host: "localhost." })];
  if (zone === "localhost.") return name === zone ? addresses(owner, type) : [];
  if (type === TYPE.PTR && (name === loopback4 || name === loopback6)) {
    return [record(owner, "PTR", ttl, { host: "localhost." })];
  }
  return [];
}

function addresses(owner: string, type: number): readonly ResourceRecord[] {
  if (type === TYPE.A) return [record(owner, "A", ttl, { address: "127.0.0.1" as Address })];
  return type === TYPE.AAAA ? [record(owner, "AAAA", ttl, { address: "::1" as Address })] : [];
}

function soa(zone: string): ResourceRecord {
  return record(zone, "SOA", ttl, {
    primary: zone,
    mailbox: `root.${zone}`,
    serial: 1,
    refresh: 0,
    retry: 0,
    expire: 0,
    minimum: ttl,
  });
}

/** Plugin hosts: names from a file like /etc/hosts, and from lines in the Corefile. */
import { readFileSync, statSync } from "node:fs";
import { tryParseAddress } from "../../../net/address.ts";
import { type Stanza, single } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import type { Fallthrough, Handler, Next, Outcome, Plugin } from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { errorReply, reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";
import { isWithin } from "../../wire/names.ts";
import { type ResourceRecord, record } from "../../wire/record.ts";
import { reverseAddress } from "../../wire/reverse.ts";
import { HostsTable } from "./table.ts";

/** What a directive says. */
interface Options {
  readonly path: string;
  readonly zones: readonly string[];
  /** Lines of the Corefile. */
  readonly inline: string;
  readonly fallthrough: Fallthrough;
  /** Types other than A, AAAA and PTR fall through too. */
  readonly fallthroughUnsupported: boolean;
  readonly reverse: boolean;
  /** Seconds. */
  readonly ttl: number;
  /** Milliseconds; 0: never. */
  readonly reload: number;
}

/** Bytes of a file: more is no file of hosts. */
const maxFile = 64 * 1024 * 1024;

/** The plugin. */
export const hosts: Plugin = {
  name: "hosts",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    return new Hosts(parse(stanza, site), site);
  },
};

function parse(stanza: Stanza, site: Site): Options {
  const [file = "/etc/hosts", ...zones] = stanza.args;
  let fallthrough = noFallthrough;
  let fallthroughUnsupported = false;
  let reverse = true;
  let ttl = 3600;
  let reload = 5000;
  const inline: string[] = [];
  for (const property of stanza.properties) {
    switch (property.name) {
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      case "fallthrough_unsupported":
        property.expect(0);
        fallthroughUnsupported = true;
        break;
      case "no_reverse":
        property.expect(0);
        reverse = false;
        break;
      case "ttl":
        property.expect(1);
        ttl = property.number(0, "ttl", 1, 65535);
        break;
      case "reload":
        property.expect(1);
        reload = property.duration(0, "reload");
        break;
      default:
        if (tryParseAddress(property.name) === undefined) throw stanza.unknown(property);
        inline.push([property.name, ...property.args].join(" "));
    }
  }
  return {
    path: site.path(file),
    zones: zonesOf(stanza, zones, site),
    inline: inline.join("\n"),
    fallthrough,
    fallthroughUnsupported,
    reverse,
    ttl,
    reload,
  };
}

class Hosts implements Handler {
  readonly name = "hosts";
  readonly #options: Options;
  readonly #site: Site;
  #table = new HostsTable();
  #stamp = "";

  constructor(options: Options, site: Site) {
    this.#options = options;
    this.#site = site;
    this.#read();
    site.onStart((signal) => {
      const follow = async () => {
        while (options.reload > 0 && (await site.env.clock.sleep(options.reload, signal))) this.#read();
      };
      void follow();
    });
  }

  serve(query: Query, next: Next): Outcome {
    const { zones, fallthrough, fallthroughUnsupported, ttl, reverse } = this.#options;
    const { name, type, question } = query;
    const address = type === TYPE.PTR && reverse ? reverseAddress(name) : undefined;
    // Reverse names are answered whatever the zones are: the file has the addresses.
    if (address !== undefined) {
      const names = this.#table.names(address);
      if (names.length === 0) return next(query);
      return reply(query.message, { answer: names.map((host) => record(question.name, "PTR", ttl, { host })) });
    }
    if (!zones.some((zone) => isWithin(name, zone))) return next(query);
    const supported = type === TYPE.A || type === TYPE.AAAA;
    const answer: ResourceRecord[] = supported
      ? this.#table
          .addresses(name, type === TYPE.A ? "IPv4" : "IPv6")
          .map((one) => record(question.name, type === TYPE.A ? "A" : "AAAA", ttl, { address: one }))
      : [];
    if (answer.length > 0) return reply(query.message, { answer });
    if (this.#table.has(name)) {
      if (!supported && fallthroughUnsupported && fallthrough(name)) return next(query);
      return reply(query.message);
    }
    if (fallthrough(name)) return next(query);
    // There is no SOA record with which one could say that the name does not exist.
    return errorReply(query.message, RCODE.SERVFAIL);
  }

  /** Reads the file if it has changed; a file that is gone leaves the lines of the Corefile. */
  #read(): void {
    const { path, inline } = this.#options;
    const { metrics, log } = this.#site.env;
    let text = "";
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp === this.#stamp) return;
      this.#stamp = stamp;
      if (size > maxFile) throw new Error(`${path} is larger than ${maxFile} bytes`);
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (this.#stamp === "none") return;
      this.#stamp = "none";
      log.plugin("hosts").warn(messageOf(error));
    }
    const table = new HostsTable();
    table.add(text);
    table.add(inline);
    this.#table = table;
    metrics.gauges("coredns_hosts_entries", "Names and addresses of hosts.").labels().set(table.size);
    metrics
      .gauges("coredns_hosts_reload_timestamp_seconds", "When the file was read last.")
      .labels()
      .set(this.#site.env.clock.now() / 1000);
  }
}

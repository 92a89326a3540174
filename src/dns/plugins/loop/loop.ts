/** Plugin loop: ends the program if its queries come back to itself. */

import { defaultPorts } from "../../corefile/key.ts";
import { single } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";
import { Query } from "../../server/query.ts";
import { reply } from "../../server/reply.ts";
import { TYPE } from "../../wire/codes.ts";
import { makeQuery } from "../../wire/message.ts";
import { isWithin } from "../../wire/names.ts";

/** How long the server looks for a loop after it started, in milliseconds, and how often it tries. */
const lookFor = 30_000;
const tryEvery = 2000;
/** A query that is seen more often than this goes round in a loop. */
const maxSeen = 2;

/** The plugin. */
export const loop: Plugin = {
  name: "loop",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    if (stanza === undefined) return undefined;
    stanza.expect(0);
    const { env } = site;
    const zone = site.zones[0] ?? ".";
    const random = () => String(Math.floor(env.random() * 2 ** 53));
    const name = `${random()}.${random()}.${zone === "." ? "" : zone}`;
    let looking = true;
    let seen = 0;
    site.onStart((signal) => {
      const look = async () => {
        const end = env.clock.monotonic() + lookFor;
        const message = makeQuery(0, name, TYPE.HINFO);
        const client = {
          protocol: "udp",
          family: "IPv4",
          address: "127.0.0.1",
          port: 0,
          localAddress: "127.0.0.1",
          localPort: site.keys[0]?.port ?? defaultPorts.dns,
        } as const;
        // The first query waits until the server serves; one that was answered is not repeated.
        while (looking && env.clock.monotonic() < end && (await env.clock.sleep(tryEvery, signal))) {
          const answer = await site.ask(new Query(message, client)).catch(() => undefined);
          if (answer !== undefined) break;
        }
        looking = false;
      };
      void look();
    });
    return {
      name: "loop",
      serve(query, next) {
        if (!looking || query.type !== TYPE.HINFO || !isWithin(query.name, zone)) return next(query);
        if (query.name !== name) return next(query);
        if (++seen <= maxSeen) return next(query);
        env.fatal(
          `plugin/loop: Loop (${query.client.address}:${query.client.port} -> ${zone}) detected for zone "${zone}": a forward destination leads back to this server. Query: "HINFO ${name}"`,
        );
        return reply(query.message, { aa: false });
      },
    };
  },
};

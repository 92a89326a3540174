/** Plugin reload: follows changes of the Corefile. */
import { single } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import type { Plugin } from "../../server/plugin.ts";

const shortestInterval = 2000;
const shortestJitter = 1000;

/** The plugin. */
export const reload: Plugin = {
  name: "reload",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    stanza.expect(0, 2);
    const interval = stanza.args.length > 0 ? stanza.duration(0, "the interval") : 30_000;
    const jitter = stanza.args.length > 1 ? stanza.duration(1, "the jitter") : Math.min(15_000, interval / 2);
    const every = Math.max(shortestInterval, interval);
    const spread = Math.min(every / 2, Math.max(shortestJitter, jitter));
    const { env, corefile } = site;
    const log = env.log.plugin("reload");
    site.onStart((signal) => {
      const version = env.metrics.gauges(
        "coredns_reload_version_info",
        "1 for the configuration that is running, by the digest of its Corefile.",
        "hash",
        "value",
      );
      version.clear();
      version.labels("sha512", corefile.digest).set(1);
      const failed = env.metrics.counters("coredns_reload_failed_total", "Changes of the Corefile that were refused.");
      failed.labels().add(0);
      log.info(`Running configuration SHA512 = ${corefile.digest}`);
      const follow = async () => {
        let refused = "";
        while (await env.clock.sleep(every + env.random() * spread, signal)) {
          let digest: string;
          try {
            digest = corefile.readDigest();
          } catch (error) {
            digest = messageOf(error);
            if (digest !== refused) {
              log.error(`the old configuration goes on: ${digest}`);
              failed.labels().add(1);
            }
            refused = digest;
            continue;
          }
          if (digest === corefile.digest || digest === refused) continue;
          refused = digest;
          if (!(await env.reload())) failed.labels().add(1);
        }
      };
      void follow();
    });
    return undefined;
  },
};

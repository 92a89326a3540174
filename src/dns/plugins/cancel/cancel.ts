/** Plugin cancel: gives up on queries that take too long. */
import { single } from "../../corefile/stanza.ts";
import { type Plugin, ServeError } from "../../server/plugin.ts";
import { RCODE } from "../../wire/codes.ts";

const defaultTimeout = 5001;

/** The plugin. */
export const cancel: Plugin = {
  name: "cancel",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const [text] = stanza.expect(0, 1);
    const timeout = text === undefined ? defaultTimeout : stanza.duration(0, "the timeout");
    if (timeout === 0) throw stanza.error("the timeout must be above 0");
    const { clock } = site.env;
    return {
      name: "cancel",
      serve(query, next) {
        const outcome = next(query);
        if (!(outcome instanceof Promise)) return outcome;
        const done = new AbortController();
        const late = new Promise<never>((_, reject) => {
          void clock.sleep(timeout, done.signal).then((slept) => {
            if (slept) reject(new ServeError(RCODE.SERVFAIL, `plugin/cancel: no reply within ${timeout} ms`));
          });
        });
        return Promise.race([outcome.finally(() => done.abort()), late]);
      },
    };
  },
};

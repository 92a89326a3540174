/** Plugin tls: the certificate of DNS over TLS, HTTPS and gRPC. */

import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { single } from "../../corefile/stanza.ts";
import { messageOf } from "../../server/log.ts";
import type { Plugin } from "../../server/plugin.ts";
import type { Settings } from "../../server/site.ts";

/** What `client_auth` may say, and what that means for the handshake. */
const none = { requestCert: false, rejectUnauthorized: false, refuseUnverified: false };
const clientAuth: Readonly<Record<string, typeof none>> = {
  nocert: none,
  request: { ...none, requestCert: true },
  require: { ...none, requestCert: true, rejectUnauthorized: true },
  verify_if_given: { ...none, requestCert: true, refuseUnverified: true },
  require_and_verify: { ...none, requestCert: true, rejectUnauthorized: true },
};

/** The plugin. */
export const tls: Plugin = {
  name: "tls",
  setup(stanzas, site) {
    const stanza = single(stanzas);
    const [cert = "", key = "", ca] = stanza.expect(2, 3);
    const read = (path: string) => readFileSync(site.path(path), "utf8");
    let auth = none;
    for (const property of stanza.properties) {
      if (property.name !== "client_auth") throw stanza.unknown(property);
      const [mode = ""] = property.expect(1);
      if (!Object.hasOwn(clientAuth, mode)) {
        throw property.error(`'${mode}' must be one of ${Object.keys(clientAuth).join(", ")}`);
      }
      auth = clientAuth[mode] ?? none;
    }
    try {
      const options: Settings["tls"] = {
        cert: read(cert),
        key: read(key),
        ...(ca !== undefined && { ca: read(ca) }),
        minVersion: "TLSv1.2",
        ...auth,
      };
      createSecureContext(options);
      site.settings.tls = options;
    } catch (error) {
      throw stanza.error(messageOf(error));
    }
    return undefined;
  },
};

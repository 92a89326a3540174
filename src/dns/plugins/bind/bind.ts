/** Plugin bind: the addresses that a server block listens on. */
import { networkInterfaces } from "node:os";
import { tryParseAddress } from "../../../net/address.ts";
import type { Stanza } from "../../corefile/stanza.ts";
import type { Plugin } from "../../server/plugin.ts";

/** The plugin. */
export const bind: Plugin = {
  name: "bind",
  setup(stanzas, site) {
    const except = new Set<string>();
    const addresses: string[] = [];
    for (const stanza of stanzas) {
      stanza.expect(1, Number.POSITIVE_INFINITY);
      for (const property of stanza.properties) {
        if (property.name !== "except") throw stanza.unknown(property);
        for (const text of property.expect(1, Number.POSITIVE_INFINITY)) {
          for (const address of addressesOf(property, text)) except.add(address);
        }
      }
      addresses.push(...stanza.args.flatMap((text) => addressesOf(stanza, text)));
    }
    site.settings.bind = [...new Set(addresses)].filter((address) => !except.has(address));
    if (site.settings.bind.length === 0) throw stanzas[0]?.error("no address is left to listen on");
    return undefined;
  },
};

/** The address itself, or all addresses of the network interface of this name except link-local IPv6 ones. */
function addressesOf(stanza: Stanza, text: string): readonly string[] {
  const address = tryParseAddress(text);
  if (address !== undefined) return [address];
  const found = networkInterfaces()[text];
  if (found === undefined) throw stanza.error(`'${text}' is not an address or a network interface with addresses`);
  return found.map((one) => one.address).filter((one) => !/^fe[89ab]/i.test(one));
}

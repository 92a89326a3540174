/** Names of addresses below in-addr.arpa and ip6.arpa (RFC 1035 3.5, RFC 3596 2.5). */
import { type Address, tryParseAddress } from "../../net/address.ts";

/** True for zones of addresses, in lower case. */
export function isReverseZone(zone: string): boolean {
  return /(^|\.)(in-addr|ip6)\.arpa\.$/.test(zone);
}

/** The address that a reverse name stands for; undefined if it is not a complete one. */
export function reverseAddress(name: string): Address | undefined {
  if (name.endsWith(".in-addr.arpa.")) {
    const labels = name.slice(0, -".in-addr.arpa.".length).split(".");
    return labels.length === 4 ? tryParseAddress(labels.reverse().join(".")) : undefined;
  }
  if (!name.endsWith(".ip6.arpa.")) return undefined;
  const digits = name.slice(0, -".ip6.arpa.".length).split(".");
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return tryParseAddress((digits.reverse().join("").match(/.{4}/g) ?? []).join(":"));
}

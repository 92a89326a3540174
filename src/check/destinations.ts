/** Where the rules of proxies lead to. */
import { addressFromBytes, addressLength, type Family, tryParseAddress } from "../net/address.ts";
import { formatHostPort } from "../net/protocol.ts";
import { ownAddresses } from "../proxy/modes/userspace/place.ts";
import type { PlainChain } from "./chains.ts";
import type { Facts } from "./facts.ts";
import type { ProxyFound } from "./proxies.ts";
import type { PlainRule } from "./rules/plain.ts";

/** Where a table of nf_tables leads to, as `address:port`. */
export function destinationsOf({ snapshot, chains }: Facts, { kind, family, table }: ProxyFound): ReadonlySet<string> {
  if (kind !== "portolan" && kind !== "kube-proxy") return new Set();
  const ip = family === "IPv4" ? "ip" : "ip6";
  const found = new Set<string>();
  const maps = snapshot.nftables.sets.filter((set) => set.family === ip && set.table === table);
  for (const { set, flags, elements } of maps) {
    // kube-proxy's maps of endpoints have no names.
    const leads =
      kind === "portolan"
        ? set === "endpoints" || set === "affinity-endpoints"
        : (flags?.includes("anonymous") ?? false);
    if (!leads) continue;
    for (const { data } of elements) {
      const destination = data && destinationIn(data, family);
      if (destination !== undefined) found.add(destination);
    }
  }
  for (const chain of chains) {
    if (kind !== "kube-proxy" || chain.family !== ip || chain.table !== table) continue;
    const [, text = "", port] = /^endpoint-.*__([^/]+)\/(\d+)$/.exec(chain.name) ?? [];
    const address = tryParseAddress(family === "IPv4" ? text : text.replaceAll(".", ":"));
    if (address !== undefined) found.add(formatHostPort(address, Number(port)));
  }
  return found;
}

/** Reads `address . port`, each padded to four bytes. */
function destinationIn(data: Uint8Array, family: Family): string | undefined {
  const length = addressLength(family);
  if (data.length !== length + 4) return undefined;
  const port = ((data[length] ?? 0) << 8) | (data[length + 1] ?? 0);
  return formatHostPort(addressFromBytes(data.subarray(0, length)), port);
}

/** The address of `address:port`. */
export function addressOf(destination: string): string {
  return destination.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}

/** Whether these chains of iptables lead to a proxy in user space, and not to endpoints. */
export function leadsToUserSpace(chains: readonly PlainChain[]): boolean {
  return chains.some(({ name, rules }) => name === "KUBE-PROXY-FIREWALL" && rules.some(isGuard));
}

function isGuard({ conditions }: PlainRule): boolean {
  const destination = conditions.destination?.value;
  return Object.values(ownAddresses).some((address) => destination?.startsWith(`${address}/`));
}

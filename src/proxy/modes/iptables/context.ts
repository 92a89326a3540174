/** What all rules of one family depend on beside the services: settings, kernel, size of the cluster. */
import { type Address, type Family, isLoopback } from "../../../net/address.ts";
import type { LocalDetector, NodePortAddresses, NodeSettings } from "../../../service/settings.ts";

/** What the machine offers, found out once when the mode is made. */
export interface Machine {
  /** False where conntrack lets odd TCP packets pass (`nf_conntrack_tcp_be_liberal`), which makes the drop pointless. */
  readonly dropInvalid: boolean;
  /** The named counters (nfacct) that exist in the kernel and so can be used in rules. */
  readonly counters: ReadonlySet<Counter>;
}

/** The named counters, as kube-proxy calls them. */
export type Counter = "ct_state_invalid_dropped_pkts" | "localhost_nps_accepted_pkts";

/** Everything that the rules of one family depend on beside the services. */
export interface Context {
  readonly family: Family;
  readonly machine: Machine;
  /** The mark that asks for masquerade, as upstream writes it: `0x00004000`. */
  readonly mark: string;
  /** How to match packets of local pods; undefined where they cannot be told from others. */
  readonly pods: { readonly are: string; readonly areNot: string } | undefined;
  readonly nodePortAddresses: NodePortAddresses;
  /** Whether node ports answer on 127.0.0.0/8, which needs `route_localnet`. Never in IPv6. */
  readonly localhostNodePorts: boolean;
  /** An address that no connection reaches but through a service; absent: there is none. */
  readonly guarded?: Address;
}

/**
 * The context of one family.
 *
 * @throws {RangeError} if the settings say something that iptables rules cannot.
 */
export function contextOf(settings: NodeSettings, family: Family, machine: Machine): Context {
  const own = settings.families[family];
  const addresses = own?.nodePortAddresses ?? { kind: "addresses", addresses: [] };
  return {
    family,
    machine,
    mark: `0x${(2 ** settings.masqueradeBit).toString(16).padStart(8, "0")}`,
    pods: podMatch(own?.detector ?? { kind: "none" }),
    nodePortAddresses: addresses,
    localhostNodePorts:
      family === "IPv4" &&
      (addresses.kind === "all" ? addresses.loopback : addresses.addresses.some((address) => isLoopback(address))),
  };
}

/** The addresses that node ports answer on, each in its own rule: without loopback where that cannot work. */
export function nodePortDestinations(addresses: readonly Address[], family: Family): readonly Address[] {
  return family === "IPv4" ? addresses : addresses.filter((address) => !isLoopback(address));
}

/** Characters of an interface's name, at most: `IFNAMSIZ` without the end. */
const longestName = 15;

function podMatch(detector: LocalDetector): Context["pods"] {
  switch (detector.kind) {
    case "none":
      return undefined;
    case "prefixes": {
      const [prefix, ...more] = detector.prefixes;
      if (prefix === undefined) return undefined;
      if (more.length > 0) {
        throw new RangeError(
          `local detector: ${detector.prefixes.join(", ")}: iptables rules can match one prefix of a family only`,
        );
      }
      return { are: `-s ${prefix}`, areNot: `! -s ${prefix}` };
    }
    case "bridge":
      return { are: `-i ${detector.interface}`, areNot: `! -i ${detector.interface}` };
    case "interfacePrefix": {
      // No name is longer, and iptables counts the plus.
      const name = detector.prefix.length < longestName ? `${detector.prefix}+` : detector.prefix;
      return { are: `-i ${name}`, areNot: `! -i ${name}` };
    }
  }
}

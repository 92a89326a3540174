import { prefixAddress, prefixContains, prefixFamily, prefixLength, prefixOf } from "../../net/prefix.ts";
import type { Facts } from "../facts.ts";
import { type Check, command, some } from "../finding.ts";

/** Tunnels: what leaves by them comes in by them. */
const tunnels = new Set(["vxlan", "ipip", "sit", "gre", "geneve", "wireguard", "tun", "ip6tnl"]);

/** Packets that the kernel drops because it would answer by another interface. */
export const reversePath: Check = {
  name: "reverse-path",
  about:
    "Whether a strict reverse path filter (rp_filter 1) stands on an interface whose clients are answered by another one.",
  seen: ["kubernetes/kubernetes#124587", "kubernetes/kubernetes#101910", "aws/amazon-vpc-cni-k8s#75"],
  run(facts) {
    const all = Number(facts.sysctl("net/ipv4/conf/all/rp_filter") ?? 0);
    // Routes that depend on more than the destination cannot be told from here.
    if (facts.snapshot.rules.some(({ family, priority }) => family === "IPv4" && ![0, 32766, 32767].includes(priority)))
      return [];
    return facts.snapshot.links
      .filter(({ loopback, up }) => up && !loopback)
      .filter(({ name }) => Math.max(all, Number(facts.sysctl(`net/ipv4/conf/${name}/rp_filter`) ?? 0)) === 1)
      .flatMap(({ name, index }) => {
        const elsewhere = answeredElsewhere(facts, index);
        if (elsewhere === undefined) return [];
        return [
          {
            severity: "error",
            subject: `link ${name}`,
            message: `rp_filter of ${name} is 1 (strict), and answers to ${elsewhere.who} leave by ${elsewhere.by}: what they send to this node by ${name} is dropped without a trace.`,
            remedy: "a loose filter (2), in /etc/sysctl.d too, or routes that are the same both ways",
            run: [command`sysctl -w net/ipv4/conf/${name}/rp_filter=2`],
          },
        ];
      });
  },
};

/** Clients that come by an interface and are answered by another. */
function answeredElsewhere(facts: Facts, index: number): { readonly who: string; readonly by: string } | undefined {
  const { snapshot, node, uplinks } = facts;
  const own = snapshot.addresses.filter(
    (each) => each.interface === index && prefixFamily(prefixOf(each.address, 0)) === "IPv4" && each.scope === 0,
  );
  for (const { destination, nextHops, table, type } of snapshot.routes) {
    if (table !== 254 || type !== "unicast" || prefixFamily(destination) !== "IPv4") continue;
    const [hop] = nextHops;
    if (nextHops.length !== 1 || hop?.gateway === undefined || hop.interface === undefined || hop.interface === index)
      continue;
    const link = facts.link(hop.interface);
    if (link === undefined || tunnels.has(link.kind ?? "")) continue;
    const inside = own.some(({ address, prefixLength: length }) => {
      const prefix = prefixOf(address, length);
      return prefixLength(destination) > length && prefixContains(prefix, prefixAddress(destination));
    });
    if (inside && !facts.isPod(prefixAddress(destination))) return { who: destination, by: link.name };
  }
  const isNodeAddress = own.some(({ address }) => node?.addresses.includes(address));
  const beyond = uplinks.filter((link) => !tunnels.has(link.kind ?? ""));
  if (
    isNodeAddress &&
    beyond.length > 0 &&
    beyond.length === uplinks.length &&
    uplinks.every((link) => link.index !== index)
  ) {
    return { who: "all clients that are not on that link", by: some(uplinks.map(({ name }) => name)) };
  }
  return undefined;
}

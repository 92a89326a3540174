/** The place of README.md out of network namespaces: everybody of the cast, reachable through the node under test. */
import { flushConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import type { NetlinkSocket } from "../../src/kernel/netlink/index.ts";
import { addRule, deleteRule, routeTable } from "../../src/kernel/route/index.ts";
import { families } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { type Host, TestNetwork } from "../support/network.ts";
import { nodeAddresses, type Place, places } from "./places.ts";

/** The port on which `elsewhere` takes everything that comes in for anybody. */
export const elsewherePort = 7;

/** The running place. */
export class Cast implements Disposable {
  readonly node: Host;
  readonly elsewhere: Host;
  readonly #network: TestNetwork;
  readonly #hosts = new Map<string, Host>();
  readonly #trackers: readonly NetlinkSocket[];

  /** @param area names the namespaces. */
  constructor(area: string) {
    this.#network = new TestNetwork(area);
    try {
      const node = this.#network.host("node");
      this.node = node;
      node.forwarding();
      // The kernel limits the ICMP errors that it sends in a second; a table of flows asks for many.
      node.sysctl("net/ipv4/icmp_ratemask", 0);
      node.sysctl("net/ipv6/icmp/ratelimit", 0);
      node.sysctl("net/ipv4/icmp_msgs_per_sec", 1_000_000);
      node.sysctl("net/ipv4/icmp_msgs_burst", 1_000_000);
      this.#network.bridge(node, "cbr0");
      node.address("cbr0", "10.244.1.1/25", "fd00:10:244:1::1/65");
      // What pods on one bridge answer each other must pass the rules that undo the translation, as on every node.
      node.sysctl("net/bridge/bridge-nf-call-iptables", 1);
      node.sysctl("net/bridge/bridge-nf-call-ip6tables", 1);
      this.#outside();
      this.#otherNode();
      this.elsewhere = this.#elsewhere();
      for (const place of places.values()) {
        if (place.site === "bridge") this.#bridged(place);
        else if (place.site === "link") this.#linked(place);
        else if (place.site === "node") this.#hosts.set(place.name, node);
      }
      this.#trackers = [node, this.elsewhere].map((host) => openConntrack(host.namespace));
    } catch (error) {
      this.#network.close();
      throw error;
    }
  }

  /** The machine of somebody. */
  hostOf(place: Place): Host {
    const host = this.#hosts.get(place.name);
    if (host === undefined) throw new Error(`${place.name} has no machine`);
    return host;
  }

  /** Makes the connection trackers forget everything: what they remember of one set of rules belies the next. */
  forgetConnections(): void {
    for (const tracker of this.#trackers) flushConntrack(tracker);
  }

  [Symbol.dispose](): void {
    for (const tracker of this.#trackers) tracker.close();
    this.#network.close();
  }

  #outside(): void {
    const host = this.#network.host("outside");
    this.#network.join(this.node, "eth0", host, "eth0");
    this.node.address("eth0", ...nodeAddresses.eth0.map((a) => (a.includes(":") ? `${a}/64` : `${a}/24`)));
    host.address("eth0", "192.0.2.254/24", "2001:db8:2::fe/64");
    host.addRoute("default", { via: "192.0.2.1" });
    host.addRoute("default", { via: "2001:db8:2::1" });
    for (const place of places.values()) {
      if (place.site !== "outside") continue;
      host.address("lo", `${place.IPv4}/32`, `${place.IPv6}/128`);
      this.#hosts.set(place.name, host);
    }
    for (const range of ["198.51.100.0/24", "2001:db8:51::/48"]) {
      this.node.addRoute(range, { via: range.includes(":") ? "2001:db8:2::fe" : "192.0.2.254" });
    }
  }

  /**
   * A router with a pod behind each of its links. What the pods send, to each other and to their node too, goes to the
   * node under test first: an answer to a connection that was translated there must come back through it.
   */
  #otherNode(): void {
    const host = this.#network.host("there");
    host.forwarding();
    this.#network.join(this.node, "eth1", host, "eth0");
    this.node.address("eth1", "172.18.0.1/24", "fd00:172:18::1/64");
    this.node.addRoute("10.244.2.0/24", { via: "172.18.0.2" });
    this.node.addRoute("fd00:10:244:2::/64", { via: "fd00:172:18::2" });
    host.address("eth0", "172.18.0.2/24", "fd00:172:18::2/64");
    for (const via of ["172.18.0.1", "fd00:172:18::1"]) {
      host.addRoute("default", { via });
      host.addRoute("default", { via, table: podTable });
    }
    for (const [family, gateway] of [
      ["IPv4", "10.244.2.1/32"],
      ["IPv6", "fd00:10:244:2::1/128"],
    ] as const) {
      const local = { family, action: { kind: "lookup", table: routeTable.local } } as const;
      addRule(host.route, { ...local, priority: 200 });
      deleteRule(host.route, { ...local, priority: 0 });
      // The pods must find their router.
      addRule(host.route, { ...local, priority: 50, destination: parsePrefix(gateway) });
    }
    for (const place of places.values()) {
      if (place.name === "there") this.#hosts.set(place.name, host);
      else if (place.site === "there") this.#podThere(host, place);
    }
  }

  #podThere(router: Host, place: Place): void {
    const pod = this.#network.host(place.name);
    this.#onLink(router, place.name, pod, place, ["10.244.2.1", "fd00:10:244:2::1"]);
    for (const family of families) {
      const action = { kind: "lookup", table: podTable } as const;
      addRule(router.route, { family, priority: 100, inInterface: place.name, action });
    }
  }

  #elsewhere(): Host {
    const host = this.#network.host("elsewhere");
    this.#network.join(this.node, "eth2", host, "eth0");
    this.node.address("eth2", "192.168.7.1/24", "fd00:192:168:7::1/64");
    host.address("eth0", "192.168.7.2/24", "fd00:192:168:7::2/64");
    this.node.addRoute("default", { via: "192.168.7.2" });
    this.node.addRoute("default", { via: "fd00:192:168:7::2" });
    host.addRoute("default", { via: "192.168.7.1" });
    host.addRoute("default", { via: "fd00:192:168:7::1" });
    // With the old tables, since a virtual machine's kernel may have no others.
    const rules = ["tcp", "udp", "sctp"].map(
      (each) => `-A PREROUTING -p ${each} -j REDIRECT --to-ports ${elsewherePort}\n`,
    );
    for (const program of ["iptables-legacy-restore", "ip6tables-legacy-restore"]) {
      host.exec(program, [], { input: `*nat\n${rules.join("")}COMMIT\n` });
    }
    return host;
  }

  #bridged(place: Place): void {
    const host = this.#network.host(place.name);
    this.#network.join(this.node, `veth-${place.name}`, host, "eth0", "cbr0");
    host.address("eth0", `${place.IPv4}/25`, `${place.IPv6}/65`);
    host.addRoute("default", { via: "10.244.1.1" });
    host.addRoute("default", { via: "fd00:10:244:1::1" });
    this.#hosts.set(place.name, host);
  }

  #linked(place: Place): void {
    const pod = this.#network.host(place.name);
    this.#onLink(this.node, `ptp-${place.name}`, pod, place, ["10.244.1.1", "fd00:10:244:1::1"]);
  }

  /** A pod on a link of its own. The router's end has an address of the router, so that the pod finds it there. */
  #onLink(router: Host, link: string, pod: Host, place: Place, gateways: readonly string[]): void {
    this.#network.join(router, link, pod, "eth0");
    for (const [gateway, address] of [
      [gateways[0] ?? "", place.IPv4],
      [gateways[1] ?? "", place.IPv6],
    ] as const) {
      const length = address.includes(":") ? 128 : 32;
      router.address(link, `${gateway}/${length}`);
      router.addRoute(`${address}/${length}`, { link });
      pod.address("eth0", `${address}/${length}`);
      pod.addRoute(`${gateway}/${length}`, { link: "eth0" });
      pod.addRoute("default", { via: gateway, link: "eth0" });
    }
    this.#hosts.set(place.name, pod);
  }
}

/** The routing table of the other node for what its pods send. */
const podTable = 100;

/** Translations to ranges of addresses: the walk says which of them the kernel takes. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { flushConntrack, listConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import { inNamespace } from "../../src/kernel/namespace.ts";
import { FirstPacket } from "../../src/kernel/sockets/firstpacket.ts";
import { type Address, parseAddress } from "../../src/net/address.ts";
import { capture } from "../../src/trace/snapshot/index.ts";
import { walk } from "../../src/trace/walk/index.ts";
import { nodeBetween } from "./between.ts";

const { node, client, server } = nodeBetween("range");
node.address("eth0", "fd01::1/64");
node.address("eth1", "fd02::1/64");
client.address("eth0", "10.1.0.3/24", "fd01::2/64", "fd01::3/64");
server.address("eth0", "fd02::2/64");
client.addRoute("default", { via: "fd01::1" });
const tracker = openConntrack(node.namespace);
after(() => tracker.close());

const destinations = Array.from({ length: 6 }, (_, i) => [`10.96.0.${i}`, `fd96::${i + 1}`]).flat();

test("connections get the addresses of a range that the walk says", async () => {
  node.exec("nft", ["-f", "-"], {
    input: `table inet t {
      chain in { type nat hook prerouting priority dstnat;
        udp dport 53 dnat ip to 10.2.0.10-10.2.0.99
        udp dport 53 dnat ip6 to fd02::10-fd02::ffff
        udp dport 54 dnat ip to 10.2.0.10-10.2.0.99 persistent
        udp dport 54 dnat ip6 to fd02::10-fd02::1:0:99 persistent
        udp dport 55 dnat ip to 10.2.0.10-10.2.0.99:50-60
        udp dport 56 dnat ip prefix to ip daddr map { 10.96.0.0/24 : 10.2.0.0/24 }
      }
      chain out { type nat hook postrouting priority srcnat;
        meta nfproto ipv4 snat ip to 10.2.0.200-10.2.0.250
        meta nfproto ipv6 snat ip6 to fd02::a000-fd02::ffff
      }
    }`,
  });
  const snapshot = await capture(node.namespace);
  const problems: string[] = [];
  for (const port of [53, 54, 55, 56]) {
    for (const [i, to] of destinations.entries()) {
      const isIPv4 = !to.includes(":");
      if (!isIPv4 && port > 54) continue;
      const source = parseAddress(isIPv4 ? `10.1.0.${2 + (i % 4 > 1 ? 1 : 0)}` : `fd01::${2 + (i % 4 > 1 ? 1 : 0)}`);
      const destination = parseAddress(to);
      flushConntrack(tracker);
      const family = isIPv4 ? "IPv4" : "IPv6";
      const options = { family, protocol: 17, source, destination, destinationPort: port } as const;
      using packet = inNamespace(client.namespace, () => new FirstPacket(options));
      packet.send();
      let reply: { readonly source: Address; readonly destination: Address; readonly sourcePort?: number } | undefined;
      for (let tries = 0; tries < 100 && reply === undefined; tries++) {
        await sleep(2);
        reply = listConntrack(tracker).find(({ original }) => original.destination === destination)?.reply;
      }
      const { ends } = walk(snapshot, {
        input: "eth0",
        packet: { family, protocol: 17, source, destination, sourcePort: packet.sourcePort, destinationPort: port },
      });
      const followed = ends.map(
        ({ state: { packet: last } }) => `${last.source} ${last.destination} ${last.destinationPort}`,
      );
      const kernel = `${reply?.destination} ${reply?.source} ${reply?.sourcePort}`;
      if (followed.join() !== kernel)
        problems.push(`${source} to ${to}:${port}: the kernel ${kernel}, the walk ${followed.join()}`);
    }
  }
  assert.deepEqual(problems, []);
});

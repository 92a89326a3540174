/**
 * A node between a client and a server, in network namespaces, on which rule sets are tried: the packets that are sent
 * through it, and what the kernel's trace says of each.
 */
import assert from "node:assert/strict";
import { flushConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import type { NetlinkSocket } from "../../src/kernel/netlink/index.ts";
import type { TraceStep } from "../../src/kernel/nftables/index.ts";
import { setNeighbour } from "../../src/kernel/route/index.ts";
import { FirstPacket } from "../../src/kernel/sockets/firstpacket.ts";
import { type Address, familyOf, parseAddress } from "../../src/net/address.ts";
import { capture, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type Account, accountOf, sortSteps, tracingTable } from "../../src/trace/verify/account.ts";
import { type Traced, Tracing } from "../../src/trace/verify/tracing.ts";
import type { Question } from "../../src/trace/walk/index.ts";
import { type Host, TestNetwork } from "../support/network.ts";
import { counted, readCounts } from "./counters.ts";

/** What packets can have: clients, addresses of the node, of servers behind it, and of nobody. */
export const addresses = {
  ip: {
    clients: ["10.1.0.2", "10.1.0.3"],
    own: ["10.1.0.1", "10.2.0.1"],
    servers: ["10.2.0.2", "10.2.0.3"],
    strangers: ["10.96.0.1", "203.0.113.9"],
  },
  ip6: {
    clients: ["fd01::2", "fd01::3"],
    own: ["fd01::1", "fd02::1"],
    servers: ["fd02::2", "fd02::3"],
    strangers: ["fd96::1", "2001:db8::9"],
  },
} as const;

/** A packet to send. */
export interface Shot {
  /** Absent: the node itself. */
  readonly from?: { readonly host: Host; readonly input: string; readonly address: Address };
  readonly to: Address;
  readonly protocol: "TCP" | "UDP" | "ICMP";
  readonly port: number;
  /** Of packets of the node itself. */
  readonly mark?: number;
}

/** What became of a packet. */
export interface Hit {
  readonly shot: Shot;
  readonly account: Account;
  /** What rules of iptables' old variant counted, where somebody looked. */
  readonly counts?: readonly string[];
  /** The same packet for a walk. */
  readonly question: Question;
}

/** First packets of connections that come in by an interface, or by any; and of the node itself. */
export function everyFirstPacket(input?: string): readonly Traced[] {
  const by = input === undefined ? {} : { input };
  return [
    { ...by, protocol: 6 },
    { ...by, protocol: 17 },
    { ...by, protocol: 1, family: "IPv4" },
    { ...by, protocol: 58, family: "IPv6" },
  ];
}

let lastPort = 20_000;

/** Sends packets in one go, and collects what the kernel says of each of them. */
export function shoot(node: Host, tracing: Tracing, shots: readonly Shot[]): readonly Hit[] {
  tracing.take();
  const sent = shots.map((shot) => {
    lastPort = lastPort === 60_000 ? 20_001 : lastPort + 1;
    const payload = Buffer.alloc(12);
    payload.writeUInt32BE(lastPort);
    const family = familyOf(shot.to);
    const protocol = { TCP: 6, UDP: 17, ICMP: family === "IPv4" ? 1 : 58 }[shot.protocol];
    const host = shot.from?.host ?? node;
    const sourcePort = host.run((): number => {
      const made = new FirstPacket({
        family,
        protocol,
        ...(shot.from !== undefined && { source: shot.from.address }),
        destination: shot.to,
        sourcePort: lastPort,
        destinationPort: shot.port,
        ...(shot.mark !== undefined && { mark: shot.mark }),
        payload,
      });
      made.send();
      // It is on its way: who keeps the socket, and is slow, sends the SYN again.
      made.close();
      return made.sourcePort;
    });
    return { shot, sourcePort, protocol, family, payload: payload.toString("hex") };
  });
  const accounts = new Map<string, Account>();
  let steps: readonly TraceStep[] = [];
  // The kernel reports while it sends; softirqs that were put off come a little later.
  for (let tries = 0; accounts.size < sent.length && tries < 20; tries++) {
    if (tries > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    steps = [...steps, ...tracing.take()];
    for (const [key, own] of sortSteps(steps)) {
      const account = accountOf(own);
      const [first] = account;
      accounts.set(first?.before?.protocol === 6 ? `TCP ${first.before.sourcePort}` : key, account);
    }
  }
  return sent.map(({ shot, sourcePort, protocol, family, payload }) => {
    const account = accounts.get(protocol === 6 ? `TCP ${sourcePort}` : payload) ?? [];
    return {
      shot,
      account,
      question: {
        ...(shot.from !== undefined && { input: shot.from.input }),
        packet: {
          family,
          ...(shot.from !== undefined && { source: shot.from.address }),
          destination: shot.to,
          protocol,
          ...(shot.protocol === "ICMP"
            ? { icmpType: family === "IPv4" ? 8 : 128 }
            : { sourcePort, destinationPort: shot.port }),
          ...(shot.mark !== undefined && { mark: shot.mark }),
        },
      },
    };
  });
}

/** A snapshot of a namespace without the table that traces it. */
export async function captureUntraced(namespace?: string): Promise<Snapshot> {
  const snapshot = await capture(namespace);
  const others = <T extends { readonly table: string }>(items: readonly T[]) =>
    items.filter(({ table }) => table !== tracingTable.table);
  const { nftables } = snapshot;
  return {
    ...snapshot,
    nftables: {
      ...nftables,
      tables: others(nftables.tables),
      chains: others(nftables.chains),
      rules: others(nftables.rules),
    },
  };
}

const onlyFirstPackets =
  "tcp flags & (syn | ack) == syn accept; meta l4proto udp accept; icmp type echo-request accept; icmpv6 type echo-request accept; ct state invalid counter; drop;";

const emptyTables = Object.entries({
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
})
  .map(([table, chains]) => `*${table}\n${chains.map((chain) => `:${chain} ACCEPT\n`).join("")}COMMIT\n`)
  .join("");

/** The place. */
export class Arena implements Disposable {
  readonly node: Host;
  readonly client: Host;
  readonly #network: TestNetwork;
  readonly #tracing: Tracing;
  readonly #tracker: NetlinkSocket;

  /** @param area names the namespaces. */
  constructor(area: string) {
    this.#network = new TestNetwork(area);
    this.node = this.#network.host("node");
    this.client = this.#network.host("client");
    const server = this.#network.host("server");
    const { node, client } = this;
    this.#network.join(node, "eth0", client, "eth0");
    this.#network.join(node, "eth1", server, "eth0");
    node.forwarding();
    for (const host of [node, server]) {
      host.sysctl("net/ipv4/icmp_ratemask", 0);
      host.sysctl("net/ipv6/icmp/ratelimit", 0);
    }
    for (const [family, prefix] of [
      ["ip", 24],
      ["ip6", 64],
    ] as const) {
      const { clients, own, servers } = addresses[family];
      node.address("eth0", `${own[0]}/${prefix}`);
      node.address("eth1", `${own[1]}/${prefix}`);
      client.address("eth0", ...clients.map((each) => `${each}/${prefix}`));
      server.address("eth0", ...servers.map((each) => `${each}/${prefix}`));
      client.addRoute("default", { via: own[0] });
      server.addRoute("default", { via: own[1] });
      node.addRoute("default", { via: servers[0] });
      // Rules drop questions for neighbours, too: everybody knows everybody.
      for (const [host, link, peer, peerLink, peers] of [
        [client, "eth0", node, "eth0", own.slice(0, 1)],
        [node, "eth0", client, "eth0", clients],
        [node, "eth1", server, "eth0", servers],
        [server, "eth0", node, "eth1", own.slice(1)],
      ] as const) {
        const mac = peer.link(peerLink).mac;
        assert.ok(mac !== undefined);
        for (const address of peers) {
          setNeighbour(host.route, { interface: host.link(link).index, address: parseAddress(address), mac });
        }
      }
    }
    this.#tracker = openConntrack(node.namespace);
    this.#tracing = new Tracing(node.namespace, ...everyFirstPacket("eth0"));
  }

  /** Loads a rule set as nft reads it, instead of all others, without the lines that nft refuses. */
  load(text: string): { readonly text: string; readonly refused: number } {
    let lines = text.split("\n");
    for (let refused = 0; ; ) {
      try {
        this.node.exec("nft", ["-f", "-"], { input: `flush ruleset\n${lines.join("\n")}` });
        return { text: lines.join("\n"), refused };
      } catch (error) {
        const words = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
        const numbers = new Set([...words.matchAll(/^\/dev\/stdin:(\d+):/gm)].map(([, number]) => Number(number) - 2));
        if (numbers.size === 0) throw error;
        refused += numbers.size;
        lines = lines.filter((_, number) => !numbers.has(number));
      }
    }
  }

  /** Loads tables as iptables-save writes them, without the lines that are refused. */
  restore(program: "iptables" | "ip6tables", variant: "nft" | "legacy", text: string): { readonly text: string } {
    let lines = text.split("\n");
    for (;;) {
      try {
        this.node.exec(`${program}-${variant}-restore`, [], { input: lines.join("\n") });
        return { text: lines.join("\n") };
      } catch (error) {
        const words = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
        const numbers = [...words.matchAll(/line:? (\d+)/g)].map(([, number]) => Number(number) - 1);
        const bad = numbers.filter((number) => lines[number]?.startsWith("-A"));
        // Only COMMIT fails where the kernel refuses a rule of a table, and does not say which one.
        if (bad.length === 0) throw error;
        lines = lines.filter((_, number) => !bad.includes(number));
      }
    }
  }

  /**
   * Drops everything but first packets before anybody counts it: answers, errors, questions for neighbours. In place of
   * all rules of nf_tables and of both variants of iptables. It asks for the connection's state, too, without which the
   * kernel keeps track of nothing, and asks no chain that translates.
   */
  silence(): void {
    this.load(`table inet silence {
      chain pre { type filter hook prerouting priority -2147483646; ${onlyFirstPackets} }
      chain out { type filter hook output priority -2147483646; ${onlyFirstPackets} }
    }`);
    for (const program of ["iptables", "ip6tables"] as const) this.restore(program, "legacy", emptyTables);
  }

  /** A snapshot of the node. */
  snapshot(): Promise<Snapshot> {
    return captureUntraced(this.node.namespace);
  }

  /** Sends packets through the node, none of whose connections it remembers. */
  shoot(shots: readonly Shot[]): readonly Hit[] {
    flushConntrack(this.#tracker);
    return shoot(this.node, this.#tracing, shots);
  }

  /** The same, one packet after the other, with what each was counted by. */
  shootCounted(shots: readonly Shot[]): readonly Hit[] {
    const last = { iptables: readCounts(this.node, "iptables"), ip6tables: readCounts(this.node, "ip6tables") };
    return shots.flatMap((shot) => {
      const program = familyOf(shot.to) === "IPv4" ? "iptables" : "ip6tables";
      const hits = this.shoot([shot]);
      const before = last[program];
      last[program] = readCounts(this.node, program);
      return hits.map((hit) => ({ ...hit, counts: counted(before, last[program]) }));
    });
  }

  /** Somebody on the client's side. */
  clientAt(address: string): NonNullable<Shot["from"]> {
    return { host: this.client, input: "eth0", address: parseAddress(address) };
  }

  [Symbol.dispose](): void {
    this.#tracing[Symbol.dispose]();
    this.#tracker.close();
    this.#network.close();
  }
}

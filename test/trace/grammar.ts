/** Rule sets at random, as text for nft, out of the expressions that the walk evaluates. */

import { parseAddress } from "../../src/net/address.ts";
import { type Arena, addresses, type Shot } from "./arena.ts";

/** A source of random numbers that gives the same ones for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 to before `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  /** One of them. */
  of<T>(...items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** True so many times out of a hundred. */
  percent(share: number): boolean {
    return this.below(100) < share;
  }
}

/** Ports that rules and packets have. */
export const ports = [53, 80, 443, 8080] as const;

type Ip = keyof typeof addresses;

/** One table with chains that jump to each other, sets and maps, hooked in at random. */
export function randomTable(random: Random, family: "ip" | "ip6" | "inet", name: string): string {
  const ip = (): Ip => (family === "inet" ? random.of("ip", "ip6") : family);
  const setIp = ip();
  const any = (of: Ip) =>
    random.of(...addresses[of].clients, ...addresses[of].own, ...addresses[of].servers, ...addresses[of].strangers);
  const net = (of: Ip) =>
    random.of(...(of === "ip" ? ["10.1.0.0/24", "10.2.0.0/16", "10.0.0.0/8"] : ["fd01::/64", "fd02::/32", "fd00::/8"]));
  const port = () => random.of(...ports);
  const mark = () => random.below(6);
  const some = (make: () => string | number, count = 2) => [...new Set(Array.from({ length: count }, make))].join(", ");
  const range = (of: Ip) =>
    of === "ip"
      ? random.of("10.1.0.2-10.1.0.9", "10.2.0.2-10.96.0.1")
      : random.of("fd01::2-fd01::9", "fd02::2-fd96::1");

  /** `plain`: a chain that jumps to others; the leaves do not, so that there are no loops. */
  const decision = (targets: readonly string[]) => {
    const verdicts = ["accept", "return", "continue", ...(random.percent(40) ? ["drop"] : [])];
    return random.of(
      ...verdicts,
      ...targets.flatMap((target) => [`jump ${target}`, `goto ${target}`, `jump ${target}`]),
    );
  };
  const match = (hook: string): string => {
    const of = ip();
    const side = random.of("saddr", "daddr");
    const options = [
      `${of} ${side} ${any(of)}`,
      `${of} ${side} != ${any(of)}`,
      `${of} ${side} ${net(of)}`,
      `${of} ${side} ${range(of)}`,
      `${of} ${side} { ${some(() => any(of), 3)} }`,
      `${of} ${side} != { ${net(of)}, ${some(() => random.of(...addresses[of].strangers), 1)} }`,
      `${setIp} ${side} @hosts`,
      `${setIp} ${side} != @hosts`,
      `${setIp} ${side} @nets`,
      `${setIp} ${side} . meta l4proto . th dport @services`,
      `${setIp} ${side} . th dport @wide`,
      `tcp dport ${port()}`,
      `udp dport 50-${50 + random.below(500)}`,
      `meta l4proto { tcp, udp } th dport { ${some(port)} }`,
      `meta l4proto ${random.of("tcp", "udp")}`,
      `th sport >= ${random.of(1024, 40_000)}`,
      `meta mark ${mark()}`,
      `meta mark & 0x3 == ${random.below(4)}`,
      `meta mark != ${mark()}-${8 + mark()}`,
      `meta mark { ${some(mark, 3)} }`,
      `ct mark ${mark()}`,
      `ct state ${random.of("new", "established,related", "invalid", "untracked", "{ new, untracked }")}`,
      `ct direction original`,
      `ct status ${random.of("dnat", "snat", "confirmed")}`,
      `ct original ${of} daddr ${any(of)}`,
      `ct original proto-dst ${port()} meta l4proto tcp`,
      `fib ${side} type ${random.of("local", "unicast", "!= local")}`,
      `iifname ${random.of('"eth0"', '"eth*"', '!= "eth0"', "{ eth0, eth1 }")}`,
      `meta nfproto ${random.of("ipv4", "ipv6")}`,
      `tcp flags ${random.of("syn", "& (syn | ack) == syn", "& (fin | syn | rst | ack) == ack", "{ syn, ack }")}`,
      "ip dscp 0",
      "ip version 4",
      "ip frag-off & 0x1fff == 0",
      "ip6 nexthdr udp",
      `ether type ip`.replace("ether type ip", "meta protocol ip"),
      `numgen random mod ${2 + random.below(3)} ${random.below(3)}`,
      ...(hook === "prerouting" ? ["fib saddr . iif oif exists", "fib saddr . iif oif missing"] : []),
      ...(hook === "forward" || hook === "postrouting"
        ? [`oifname ${random.of('"eth1"', '"eth*"', '!= "eth1"')}`]
        : []),
    ];
    return random.of(...options).replace("!= local", "!= local");
  };
  const action = () =>
    random.of(
      "counter",
      "counter",
      `meta mark set ${mark()}`,
      `meta mark set meta mark | 0x${(1 << random.below(4)).toString(16)}`,
      "meta mark set meta mark xor 0x5",
      "meta mark set meta mark << 1",
      `ct mark set ${mark()}`,
      "ct mark set meta mark",
      "meta mark set ct mark",
      `meta mark set th dport map { ${ports.map((each, i) => `${each} : ${i}`).join(", ")} }`,
      `meta mark set numgen random mod ${2 + random.below(4)}`,
      `meta mark set ${setIp} daddr map @marks`,
      `add @seen { ${setIp} saddr }`,
      "meta priority set 1:2",
    );
  const rule = (hook: string, targets: readonly string[]): string => {
    const matches = Array.from({ length: random.below(3) }, () => match(hook)).join(" ");
    // nft refuses an expression that contradicts the one before (ip after ip6), so that such rules are left out.
    const rest = random.of(
      () => action(),
      () => `${action()} ${decision(targets)}`,
      () => decision(targets),
      () => `meta mark vmap { ${[0, 1, 2, 3].map((each) => `${each} : ${decision(targets)}`).join(", ")} }`,
      () => `${setIp} daddr vmap @ways`,
      () => `th dport vmap { ${port()} : ${decision(targets)}, 1-52 : accept }`,
      () => `numgen random mod 3 vmap { 0 : ${decision(targets)}, 1 : ${decision(targets)}, 2 : continue }`,
    )();
    return `${matches} ${rest}`;
  };
  const chain = (label: string, head: string, hook: string, targets: readonly string[]) =>
    `chain ${label} {\n${head}${Array.from({ length: 1 + random.below(5) }, () => `    ${rule(hook, targets)}\n`).join("")}  }`;

  const leaves = ["leaf1", "leaf2"];
  const middles = ["middle1", "middle2"];
  const addressType = setIp === "ip" ? "ipv4_addr" : "ipv6_addr";
  const bases = (["prerouting", "input", "forward", "output", "postrouting"] as const)
    .filter(() => random.percent(60))
    .map((hook) => {
      const priority = random.of(-310, -250, -150, -10, 0, 0, 50, 150);
      const policy = random.percent(10) ? "drop" : "accept";
      return chain(
        `at-${hook}`,
        `    type ${hook === "output" ? random.of("filter", "route") : "filter"} hook ${hook} priority ${priority}; policy ${policy};\n`,
        hook,
        [...middles, ...leaves],
      );
    });
  const to = (of: Ip) =>
    `${of === "ip" ? random.of(...addresses.ip.servers, ...addresses.ip.own) : random.of(...addresses.ip6.servers, ...addresses.ip6.own)}`;
  const translation = () => {
    const of = ip();
    const whole = of === "ip6" ? (address: string) => `[${address}]` : (address: string) => address;
    return random.of(
      `${of} daddr ${random.of(...addresses[of].strangers)} meta l4proto { tcp, udp } dnat ${of} to ${whole(to(of))}:${port()}`,
      `tcp dport ${port()} dnat ${of} to ${to(of)}`,
      `${of} daddr ${any(of)} meta l4proto udp redirect to :${port()}`,
      `meta l4proto { tcp, udp } dnat ${of} to numgen random mod 2 map { 0 : ${addresses[of].servers[0]}, 1 : ${addresses[of].servers[1]} }`,
    );
  };
  const nat = random.percent(60)
    ? [
        `chain nat-in {\n    type nat hook prerouting priority ${random.of(-100, -110)};\n    ${match("prerouting")} counter\n    ${translation()}\n    ${random.percent(50) ? translation() : "counter"}\n  }`,
        `chain nat-own {\n    type nat hook output priority -100;\n    ${match("output")} counter\n    ${translation()}\n  }`,
        `chain nat-out {\n    type nat hook postrouting priority 100;\n    ct status dnat ${random.of("masquerade", "masquerade fully-random", "counter")}\n    ${match("postrouting")} counter\n  }`,
      ]
    : [];
  const sets = [
    `set hosts { type ${addressType}; elements = { ${some(() => any(setIp), 3)} } }`,
    `set nets { type ${addressType}; flags interval; elements = { ${net(setIp)}, ${random.of(...addresses[setIp].strangers.slice(1))} } }`,
    `set services { type ${addressType} . inet_proto . inet_service; elements = { ${some(() => `${any(setIp)} . ${random.of("tcp", "udp")} . ${port()}`, 4)} } }`,
    `set wide { type ${addressType} . inet_service; flags interval; elements = { ${net(setIp)} . 50-100, ${random.of(...addresses[setIp].strangers)} . ${port()} } }`,
    `set seen { type ${addressType}; size 64; flags dynamic; }`,
    `map marks { type ${addressType} : mark; elements = { ${any(setIp)} : 3 } }`,
    `map ways { type ${addressType} : verdict; elements = { ${random.of(...addresses[setIp].servers)} : ${random.of("accept", "return")}, ${random.of(...addresses[setIp].own)} : continue } }`,
  ];
  const parts = [
    ...sets,
    ...leaves.map((label) => chain(label, "", "any", [])),
    ...middles.map((label) => chain(label, "", "any", leaves)),
    ...bases,
    ...nat,
  ];
  return `table ${family} ${name} {\n${parts.map((part) => `  ${part}\n`).join("")}}\n`;
}

/** One to three tables. */
export function randomTables(random: Random): string {
  const count = 1 + random.below(3);
  return Array.from({ length: count }, (_, n) => randomTable(random, random.of("ip", "ip6", "inet"), `t${n}`)).join("");
}

/** Packets of the client and of the node, to anybody. */
export function randomShots(random: Random, arena: Arena, count: number, ...more: readonly number[]): readonly Shot[] {
  return Array.from({ length: count }, () => {
    const { clients, own, servers, strangers } = addresses[random.of("ip", "ip6")];
    const fromNode = random.percent(30);
    return {
      ...(fromNode ? {} : { from: arena.clientAt(random.of(...clients)) }),
      ...(fromNode && random.percent(30) && { mark: 1 + random.below(5) }),
      to: parseAddress(random.of(...own, ...servers, ...servers, ...strangers)),
      protocol: random.of("TCP", "TCP", "UDP", "UDP", "ICMP"),
      port: random.of(...ports, ...more),
    };
  });
}

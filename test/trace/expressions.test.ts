/** Each expression of nf_tables by itself: the walk says what the kernel's counters do, or that it depends. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { flushConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import type { Expression } from "../../src/kernel/nftables/index.ts";
import { capture, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type Question, stepsOf, walk } from "../../src/trace/walk/index.ts";
import { from, nodeBetween, packets, send, to } from "./between.ts";

const { node, client } = nodeBetween("expr");
const tracker = openConntrack(node.namespace);
after(() => tracker.close());

/** What a rule asks, in hook forward; those with a question mark depend. */
const rules: readonly string[] = [
  "ip saddr 10.1.0.2",
  "ip daddr != 10.2.0.0/24",
  "ip saddr . ip daddr { 10.1.0.2 . 10.2.0.2 }",
  "ip saddr . th dport @wide",
  "ip daddr @nets",
  "ip daddr != @nets",
  "ip daddr @timed",
  "tcp dport map @numbers == 7",
  "ip dscp cs0",
  "ip ecn not-ect",
  "ip frag-off & 0x1fff == 0",
  "? ip ttl > 10",
  "? ip length > 10",
  "? ip id 7",
  "ip protocol tcp",
  "ip hdrlength 5",
  "ip option lsrr exists",
  "ip option lsrr missing",
  "tcp flags syn",
  "tcp flags & (syn | ack) == syn",
  "tcp flags != syn",
  "? tcp option maxseg size > 100",
  "? tcp option timestamp exists",
  "icmp type echo-request",
  "icmp type { echo-reply, echo-request }",
  "icmp code 0",
  "udp dport 53",
  "udp dport 50-60",
  "meta l4proto { tcp, udp } th dport 80",
  "meta nfproto ipv4",
  "meta protocol ip6",
  "meta iif eth0 meta oif eth1",
  'meta iifname "eth*"',
  "meta iiftype ether",
  "meta oiftype loopback",
  "meta iifkind veth",
  'meta oifkind "bridge"',
  "meta pkttype unicast",
  "meta pkttype != unicast",
  "meta skuid 0",
  "meta cgroup 1",
  "meta mark 0",
  "meta priority 0",
  "meta sdif 0",
  "? meta cpu 0",
  "? meta length > 10",
  "? meta time > 2020-01-01",
  "? meta iifgroup 0",
  "meta ibrname br0",
  "ether type ip",
  "ether type ip6",
  "? ether saddr 02:00:00:00:00:01",
  "ct state new",
  "ct state != new",
  "ct state vmap { established : accept, new : continue }",
  "ct direction original",
  "ct status confirmed",
  "ct status & snat == 0",
  "ct mark 0",
  "ct original ip saddr 10.1.0.2",
  "ct reply ip saddr 10.2.0.2",
  "ct original proto-dst 80",
  "ct reply proto-src 80",
  "ct l3proto ipv4",
  "ct protocol tcp",
  'ct helper "ftp"',
  "ct zone 0",
  "ct zone 1",
  "? ct bytes > 10",
  "fib saddr type unicast",
  "fib daddr type local",
  "fib daddr . oif type local",
  "rt nexthop 10.2.0.2",
  "rt nexthop 10.2.0.3",
  "jhash ip saddr mod 1000 seed 0xdeadbeef < 500",
  "jhash ip saddr mod 1000 seed 0xdeadbeef >= 500",
  "jhash ip saddr . ip daddr mod 1000 seed 0x1 < 500",
  "jhash ip saddr . ip daddr mod 1000 seed 0x1 >= 500",
  "jhash ip saddr . ip daddr . ip protocol . ip saddr mod 64 seed 0x7 < 32",
  "jhash ip saddr . ip daddr . ip protocol . ip saddr mod 64 seed 0x7 >= 32",
  "? numgen random mod 4 0",
  "? numgen inc mod 4 0",
  "? symhash mod 4 0",
  "? limit rate 1/hour",
  "? limit rate over 1/hour",
  "quota 10000 bytes",
  "quota over 10000 bytes",
  "quota name much",
  "quota name little",
  "? limit name slow",
  "? ct count over 5",
  "counter name every",
  "counter name tcp dport map @counters",
  "quota name tcp dport map @quotas",
  "exthdr frag exists",
  "exthdr frag missing",
  "add @seen { ip saddr }",
  "update @seen { ip saddr timeout 1m }",
  "log prefix x",
  "meta nftrace set 0",
  "notrack",
  "ip saddr & 255.0.0.255 == 10.0.0.2",
  "last",
  // Those that change the packet come last.
  "ip dscp set cs1 ip dscp cs1",
  "ct mark set 5 ct mark 5",
  "meta mark set tcp dport map @numbers meta mark 7",
  "meta mark set 0x7 meta mark & 0x3 == 0x3",
  "meta mark set 0 meta mark set meta mark | 0x10 meta mark 0x10",
  "meta mark set 0x3 meta mark set meta mark << 4 meta mark 0x30",
  "tcp dport 80 tcp dport set 81 tcp dport 81",
];

/** Each rule in a chain of its own, so that one that decides keeps no other from being asked. */
function ruleset(lines: readonly string[]): string {
  return `flush ruleset
table ip t {
  set nets { type ipv4_addr; flags interval; elements = { 10.2.0.0/16, 10.9.0.1-10.9.0.7 } }
  set wide { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/24 . 50-80 } }
  set timed { type ipv4_addr; timeout 1h; elements = { 10.2.0.2 } }
  set seen { type ipv4_addr; flags dynamic,timeout; size 64; }
  map numbers { type inet_service : mark; elements = { 80 : 7 } }
  counter every { }
  counter some { }
  quota much { 10000 bytes }
  quota little { over 10000 bytes }
  limit slow { rate 1/hour }
  map counters { type inet_service : counter; elements = { 80 : "some" } }
  map quotas { type inet_service : quota; elements = { 80 : "little" } }
${lines.map((line, i) => `  chain r${i} { ${line} counter; }\n`).join("")}
  chain f {
    type filter hook forward priority 0;
${lines.map((_, i) => `    jump r${i}\n`).join("")}  }
}
`;
}

/** The rules that this machine's nft and kernel have. */
function load(): readonly string[] {
  let lines = rules.map((line) => line.replace(/^\? /, ""));
  for (;;) {
    const text = ruleset(lines);
    try {
      node.exec("nft", ["-f", "-"], { input: text, stdio: "pipe" });
      return lines;
    } catch (error) {
      const words = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
      const numbers = new Set([...words.matchAll(/^\/dev\/stdin:(\d+):/gm)].map(([, number]) => Number(number) - 1));
      const refused = text
        .split("\n")
        .flatMap((each, i) => (numbers.has(i) ? (/chain r(\d+) /.exec(each)?.[1] ?? []) : []));
      if (refused.length === 0) throw error;
      lines = lines.filter((_, i) => !refused.includes(String(i)));
    }
  }
}

const drop: Expression = { kind: "verdict", verdict: { kind: "drop" } };

/** The snapshot with one chain's rule alone, which drops what comes to its end. */
function alone(snapshot: Snapshot, number: number): Snapshot {
  const { nftables } = snapshot;
  const kept = nftables.rules.flatMap((rule) => {
    if (rule.chain === "f") return rule.expressions.some((each) => isJumpTo(each, `r${number}`)) ? [rule] : [];
    return rule.chain === `r${number}` ? [{ ...rule, expressions: [...rule.expressions, drop] }] : [];
  });
  return { ...snapshot, nftables: { ...nftables, rules: kept } };
}

const isJumpTo = (expression: Expression, chain: string) =>
  expression.kind === "verdict" && expression.verdict.kind === "jump" && expression.verdict.chain === chain;

function counted(snapshot: Snapshot, number: number): number {
  const rule = snapshot.nftables.rules.find(({ chain }) => chain === `r${number}`);
  const counter = rule?.expressions.at(-1);
  return counter?.kind === "counter" ? counter.packets : Number.NaN;
}

test("each expression lets a packet pass in the walk where it does in the kernel", async (context) => {
  const lines = load();
  const open = new Set(rules.filter((line) => line.startsWith("? ")).map((line) => line.slice(2)));
  const problems: string[] = [];
  let said = 0;
  for (const packet of packets) {
    const { name, ...header } = packet;
    flushConntrack(tracker);
    // Answers are dropped before anybody counts them; every packet finds the rules as they were.
    const early = "table ip early { chain p { type filter hook prerouting priority -400; iifname eth1 drop; }; }";
    node.exec("nft", ["-f", "-"], { input: `${ruleset(lines)}${early}` });
    const before = await capture(node.namespace);
    await send(client, packet);
    const after = await capture(node.namespace);
    for (const [i, line] of lines.entries()) {
      const question: Question = {
        input: "eth0",
        packet: { family: "IPv4", source: from, destination: to, ...header },
      };
      const { ends } = walk(alone(before, i), question);
      const dropped = ends.filter(({ outcome }) => outcome.kind === "dropped");
      const lost = ends.find(({ outcome }) => outcome.kind === "unknown");
      if (lost !== undefined) problems.push(`${name}: ${line}: ${JSON.stringify(lost.outcome)}`);
      const [some, every] = [dropped.length > 0, dropped.length === ends.length];
      if (some && !every) {
        said++;
        // What an echo request has where others have a port is not known.
        if (!open.has(line) && packet.protocol !== 1) problems.push(`${name}: ${line}: depends, though it should not`);
      } else if (counted(after, i) > 0 !== some && !open.has(line)) {
        problems.push(
          `${name}: ${line}: the kernel counts ${counted(after, i)}, the walk ${some ? "lets it pass" : "does not let it pass"}`,
        );
      }
    }
  }
  context.diagnostic(
    `${lines.length} of ${rules.length} rules with ${packets.length} packets; ${said} times it depends`,
  );
  assert.ok(lines.length > 80, `only ${lines.length} rules could be loaded`);
  assert.deepEqual(problems, []);
});

test("chains of links are asked first and last, about the link alone", async () => {
  const text = `flush ruleset
table netdev d {
  chain in { type filter hook ingress device "eth0" priority 0;
    iifname eth0 ether type ip counter
    oifname eth1 counter
    meta protocol ip udp dport 53 counter
    tcp dport 81 drop
    meta mark set 9
  }
  chain out { type filter hook egress device "eth1" priority 0;
    oifname eth1 meta protocol ip counter
    iifname eth0 counter
    udp dport 54 drop
  }
}
table inet i {
  chain in { type filter hook ingress device "eth0" priority 10;
    meta mark 9 meta nfproto ipv4 counter
    ip daddr 10.2.0.2 tcp dport 82 drop
  }
}`;
  node.exec("nft", ["-f", "-"], { input: text });
  const snapshot = await capture(node.namespace);
  const problems: string[] = [];
  const ports = [
    [6, 80],
    [6, 81],
    [6, 82],
    [17, 53],
    [17, 54],
  ] as const;
  for (const [protocol, destinationPort] of ports) {
    node.exec("nft", ["-f", "-"], { input: text });
    await send(client, { protocol, destinationPort });
    const after = await capture(node.namespace);
    const packet = { family: "IPv4", source: from, destination: to, protocol, destinationPort } as const;
    const { ends } = walk(snapshot, { input: "eth0", packet });
    const steps = ends.flatMap(({ state }) => stepsOf(state));
    for (const { table, chain, expressions, handle } of after.nftables.rules) {
      const counter = expressions.find((each) => each.kind === "counter");
      if (counter?.kind !== "counter") continue;
      // Rules are made anew each time: their places in their chains stay.
      const number = after.nftables.rules.filter((each) => each.table === table && each.chain === chain);
      const place = number.findIndex((each) => each.handle === handle) + 1;
      const followed = steps.some(
        (step) => step.kind === "rule" && step.table === table && step.chain === chain && step.number === place,
      );
      if (followed !== counter.packets > 0) {
        problems.push(
          `${protocol} ${destinationPort}: ${table} ${chain} #${place}: the kernel ${counter.packets}, the walk ${followed}`,
        );
      }
    }
    const drops = { 81: "netdev d in", 82: "inet i in", 54: "netdev d out" }[destinationPort as number];
    const by = ends.map(({ outcome }) => (outcome.kind === "dropped" ? outcome.by : outcome.kind)).join();
    if (drops !== undefined && !by.startsWith(drops)) problems.push(`${destinationPort}: ${by}`);
  }
  assert.deepEqual(problems, []);
});

/** Each match of iptables by itself, of both variants: the walk says what the kernel's counters do, or that it depends. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { flushConntrack, openConntrack } from "../../src/kernel/conntrack/index.ts";
import type { Expression } from "../../src/kernel/nftables/index.ts";
import { capture, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type Question, stepsOf, walk } from "../../src/trace/walk/index.ts";
import { from, nodeBetween, packets, send, to } from "./between.ts";

const { node, client } = nodeBetween("match");
const tracker = openConntrack(node.namespace);
after(() => tracker.close());

for (const line of [
  "create nets hash:net",
  "add nets 10.2.0.0/16",
  "add nets 10.2.0.2 nomatch",
  "create ports hash:ip,port",
  "add ports 10.2.0.2,tcp:80",
  "create two hash:ip,port,net",
  "add two 10.2.0.2,tcp:80,10.1.0.0/24",
  "create alone bitmap:port range 0-65535",
  "add alone 80",
  "create hosts hash:ip netmask 24",
  "add hosts 10.1.0.9",
  "create faces hash:net,iface",
  "add faces 10.1.0.0/24,eth0",
  "create wide hash:net,port",
  "add wide 10.0.0.0/8,udp:53",
  "create all list:set",
  "add all hosts",
]) {
  node.exec("ipset", line.split(" "));
}

const chains = ["PREROUTING", "FORWARD", "POSTROUTING"] as const;
type Hooked = (typeof chains)[number];

/** Matches by the chain that they are tried in; those with a question mark are said to depend. */
const specs: Readonly<Record<Hooked, readonly string[]>> = {
  PREROUTING: [
    "-m rpfilter",
    "-m rpfilter --invert",
    "-m rpfilter --loose",
    "-m socket --nowildcard -m comment --comment ?",
    "-m addrtype --dst-type LOCAL",
    "-m addrtype ! --src-type LOCAL --limit-iface-in",
    "-m pkttype --pkt-type unicast",
    "-m pkttype --pkt-type broadcast",
    "? -m mac --mac-source 02:00:00:00:00:01",
    "-m set --match-set faces src,src",
    "-m set --match-set faces src,dst",
    "! -f",
    "-f",
    "-m ttl --ttl-lt 255 -m comment --comment ?",
    "-m physdev --physdev-is-in",
    "-m physdev ! --physdev-is-bridged",
  ],
  FORWARD: [
    "-s 10.1.0.0/24 ! -d 10.2.0.3",
    "-i eth+ -o eth1",
    "-i eth0 ! -o eth+",
    "-p tcp",
    "! -p udp",
    "-p tcp -m tcp --dport 80",
    "-p tcp -m tcp ! --dport 80:90",
    "-p tcp -m tcp --tcp-flags SYN,ACK,FIN SYN",
    "-p tcp -m tcp --tcp-flags ALL ACK",
    "? -p tcp -m tcp --tcp-option 2",
    "-p udp -m udp --dport 50:60",
    "-p tcp -m multiport --dports 22,80,443",
    "-p udp -m multiport ! --dports 1:52,54:99",
    "-p tcp -m multiport --ports 80",
    "-p icmp -m icmp --icmp-type echo-request",
    "-p icmp -m icmp ! --icmp-type 8",
    "-p icmp -m icmp --icmp-type any",
    "-p icmp -m icmp --icmp-type 8/1",
    "-m mark --mark 0",
    "-m mark ! --mark 1/1",
    "-m connmark --mark 0",
    "-m connmark ! --mark 0",
    "-m conntrack --ctstate NEW",
    "-m conntrack ! --ctstate NEW,INVALID",
    "-m conntrack --ctorigsrc 10.1.0.0/24",
    "-m conntrack --ctorigdst 10.2.0.2 --ctproto tcp",
    "-m conntrack ! --ctorigdstport 80 -p tcp",
    "-m conntrack --ctreplsrc 10.2.0.2",
    "-m conntrack --ctrepldst 10.1.0.2",
    "-m conntrack --ctstatus NONE",
    "-m conntrack --ctstatus CONFIRMED",
    "-m conntrack ! --ctstatus SEEN_REPLY",
    "-m conntrack --ctdir ORIGINAL",
    "-m conntrack --ctdir REPLY",
    "-m state --state NEW",
    "-m state --state ESTABLISHED",
    "-m helper --helper ftp",
    "-m helper ! --helper ftp",
    "-m iprange --src-range 10.1.0.1-10.1.0.3",
    "-m iprange ! --dst-range 10.2.0.0-10.2.0.9",
    "-m dscp --dscp 0",
    "-m dscp ! --dscp 0",
    "-m tos --tos 0x0/0xff",
    "-m ecn ! --ecn-ip-ect 0",
    "-p tcp -m ecn --ecn-tcp-cwr",
    "-m length --length 0:20 -m comment --comment ?",
    "? -m limit --limit 1/hour",
    "? -m hashlimit --hashlimit-upto 1/hour --hashlimit-name a --hashlimit-mode srcip",
    "? -m connlimit --connlimit-above 3",
    "? -m quota --quota 10000",
    "? -m string --string GET --algo bm",
    "? -m time --timestart 00:00 --timestop 23:00",
    "? -m policy --dir in --pol none",
    "-m recent --name nobody --rcheck",
    "-m recent ! --rcheck --name nobody --seconds 5",
    "-m recent --name ptl --set",
    "? -m statistic --mode random --probability 0.5",
    "-m statistic --mode random --probability 1.0",
    "? -m connbytes --connbytes 1:9 --connbytes-mode packets --connbytes-dir both",
    "-m comment --comment hello",
    "-m u32 --u32 6&0xFF=6",
    "-m u32 --u32 6&0xFF=17",
    "-p tcp -m u32 --u32 0>>22&0x3C@0&0xFFFF=80",
    "-m u32 ! --u32 16=0x0a020002",
    "-m u32 --u32 12=0x0a010002&&16=0x0a020000:0x0a0200ff",
    "-m set --match-set nets dst",
    "-m set ! --match-set nets dst",
    "-m set --match-set nets dst --return-nomatch",
    "-m set --match-set nets src",
    "-m set --match-set ports dst,dst",
    "-m set ! --match-set ports dst,dst",
    "-m set --match-set two dst,dst,src",
    "-m set --match-set alone dst",
    "-m set --match-set hosts src",
    "-m set --match-set hosts dst",
    "-m set --match-set wide dst,dst",
    "-m set --match-set all src",
    "-m set --match-set all dst",
    "-m physdev --physdev-in eth0",
    "-m ipvs --ipvs",
  ],
  POSTROUTING: ["-m owner --uid-owner 0", "-m owner ! --uid-owner 0", "-m owner --socket-exists", "-o eth1"],
};

interface Tried {
  readonly chain: Hooked;
  readonly spec: string;
  readonly open: boolean;
}

/** Those that this machine's kernel and program have. */
function load(program: string): readonly Tried[] {
  let tried: Tried[] = chains.flatMap((chain) =>
    specs[chain].map((text) => ({ chain, spec: text.replace(/^\? /, ""), open: text.startsWith("? ") })),
  );
  for (;;) {
    const lines = tried.map(({ chain, spec }) => `-A ${chain} ${spec}`);
    try {
      node.exec(`${program}-restore`, ["--noflush"], {
        input: `*mangle\n${lines.join("\n")}\nCOMMIT\n`,
        stdio: "pipe",
      });
      return tried;
    } catch (error) {
      const words = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
      const lacking = /Extension (\S+) revision/.exec(words)?.[1];
      if (lacking !== undefined && tried.some(({ spec }) => spec.includes(`-m ${lacking} `))) {
        tried = tried.filter(({ spec }) => !spec.includes(`-m ${lacking} `));
        continue;
      }
      const number = Number(/(?:line:? |at line: )(\d+)/.exec(words)?.[1]);
      if (!(number > 1 && number <= tried.length + 1)) throw error;
      tried = tried.filter((_, n) => n !== number - 2);
    }
  }
}

/** How many packets each rule of a chain has seen, in order. */
function counters(program: string, chain: string): readonly number[] {
  return node
    .exec(`${program}-save`, ["-t", "mangle", "-c"])
    .split("\n")
    .filter((line) => line.includes(`-A ${chain} `) || line.endsWith(`-A ${chain}`))
    .map((line) => Number(/^\[(\d+):/.exec(line)?.[1]));
}

const place = { legacy: "iptables-legacy mangle", nft: "mangle" } as const;
const drop: Expression = { kind: "verdict", verdict: { kind: "drop" } };

/** The snapshot with one rule alone, which drops what it matches. */
function alone(snapshot: Snapshot, variant: keyof typeof place, chain: string, number: number): Snapshot {
  const only = <T>(list: readonly T[]) => list.slice(number, number + 1);
  if (variant === "legacy") {
    const iptables = snapshot.iptables.map((table) => ({
      ...table,
      chains: table.chains.map((each) => ({
        ...each,
        rules: [],
        expressions:
          each.name === chain && table.name === "mangle" && table.family === "IPv4"
            ? only(each.expressions ?? []).map((rule) => [...rule, drop])
            : [],
      })),
    }));
    return { ...snapshot, iptables };
  }
  const ofChain = snapshot.nftables.rules.filter((rule) => rule.table === "mangle" && rule.chain === chain);
  const rules = only(ofChain).map((rule) => ({ ...rule, expressions: [...rule.expressions, drop] }));
  return { ...snapshot, nftables: { ...snapshot.nftables, rules } };
}

for (const variant of ["nft", "legacy"] as const) {
  test(`iptables-${variant}: each match holds in the walk where it does in the kernel`, async (context) => {
    const program = `iptables-${variant}`;
    const tried = load(program);
    // Answers are not counted.
    node.exec(program, ["-t", "raw", "-A", "PREROUTING", "-i", "eth1", "-j", "DROP"]);
    const snapshot = await capture(node.namespace);
    const problems: string[] = [];
    let said = 0;
    for (const packet of packets) {
      const { name, ...header } = packet;
      flushConntrack(tracker);
      node.exec(program, ["-t", "mangle", "-Z"]);
      await send(client, packet);
      for (const chain of chains) {
        const seen = counters(program, chain);
        for (const [i, { spec, open }] of tried.filter((each) => each.chain === chain).entries()) {
          const question: Question = {
            input: "eth0",
            packet: { family: "IPv4", source: from, destination: to, ...header },
          };
          const { ends } = walk(alone(snapshot, variant, chain, i), question);
          const dropped = ends.filter(({ outcome }) => outcome.kind === "dropped");
          const [some, every] = [dropped.length > 0, dropped.length === ends.length];
          if (some && !every) {
            said++;
            if (!open && !spec.endsWith("?")) problems.push(`${name}: ${spec}: depends, though it should not`);
          } else if ((seen[i] ?? 0) > 0 !== some && !open) {
            problems.push(
              `${name}: ${chain} ${spec}: the kernel counts ${seen[i]}, the walk ${some ? "matches" : "does not"}`,
            );
          }
        }
      }
    }
    for (const table of ["mangle", "raw"]) node.exec(program, ["-t", table, "-F"]);
    context.diagnostic(`${tried.length} matches with ${packets.length} packets; ${said} times it depends`);
    assert.ok(tried.length > 40, `only ${tried.length} matches could be loaded`);
    assert.deepEqual(problems, []);
  });
}

/** Targets, each with a match that tells whether it did its work. */
const changes: readonly (readonly [target: string, match: string])[] = [
  ["-j MARK --set-mark 0x5", "-m mark --mark 5"],
  ["-j MARK --set-xmark 0x0/0x1", "-m mark --mark 4"],
  ["-j CONNMARK --set-mark 0x6", "-m connmark --mark 6"],
  ["-j CONNMARK --save-mark", "-m connmark --mark 4"],
  ["-j CONNMARK --set-xmark 0x3/0xff", "-m connmark --mark 3"],
  ["-j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xff", "-m mark --mark 0x7"],
  ["-j CONNMARK --restore-mark", "-m mark --mark 3"],
  ["-j CONNMARK --set-mark 0x1 --left-shift-mark 3", "-m connmark --mark 8"],
  ["-j DSCP --set-dscp 8", "-m dscp --dscp 8"],
  ["-j TOS --set-tos 0x10/0xff", "-m tos --tos 0x10"],
  ["-j TOS --xor-tos 0x08", "-m tos --tos 0x18"],
  ["-j TTL --ttl-set 9", "-m ttl --ttl-eq 9"],
  ["-j TTL --ttl-inc 2", "-m ttl --ttl-eq 11"],
  ["-j TTL --ttl-dec 1", "-m ttl --ttl-lt 11"],
  ["-j CLASSIFY --set-class 1:2", "-m mark --mark 3"],
  ["-j TCPMSS -p tcp --tcp-flags SYN SYN --set-mss 1000", "-p tcp"],
  ["-j CHECKSUM --checksum-fill", "-p udp"],
  ["-j LOG", "-p tcp"],
  ["-j NFLOG", "-p udp"],
];

for (const variant of ["nft", "legacy"] as const) {
  test(`iptables-${variant}: what targets change is seen by the rules behind them`, async (context) => {
    const program = `iptables-${variant}`;
    for (const table of ["mangle", "raw"]) node.exec(program, ["-t", table, "-F"]);
    const tried = changes.filter((_, i) => {
      try {
        node.exec(program, ["-t", "mangle", "-N", `T${i}`]);
        node.exec(program, ["-t", "mangle", "-A", `T${i}`, ...(changes[i]?.[0] ?? "").split(" ")], { stdio: "pipe" });
        return true;
      } catch {
        node.exec(program, ["-t", "mangle", "-X", `T${i}`]);
        return false;
      }
    });
    const numbers = tried.map((each) => changes.indexOf(each));
    const lines = numbers.flatMap((i) => [`-A T${i} ${changes[i]?.[1]}`, `-A FORWARD -j T${i}`]);
    node.exec(`${program}-restore`, ["--noflush"], { input: `*mangle\n${lines.join("\n")}\nCOMMIT\n` });
    node.exec(program, ["-t", "raw", "-A", "PREROUTING", "-i", "eth1", "-j", "DROP"]);
    const snapshot = await capture(node.namespace);
    const problems: string[] = [];
    for (const packet of packets) {
      const { name, ...header } = packet;
      flushConntrack(tracker);
      node.exec(program, ["-t", "mangle", "-Z"]);
      await send(client, packet);
      const question: Question = {
        input: "eth0",
        packet: { family: "IPv4", source: from, destination: to, ...header },
      };
      const { ends } = walk(snapshot, question);
      assert.equal(ends.length, 1, JSON.stringify(ends.map(({ state }) => state.assumptions)));
      const steps = ends.flatMap(({ state }) => stepsOf(state));
      for (const i of numbers) {
        const followed = steps.some((step) => step.kind === "rule" && step.chain === `T${i}` && step.number === 2);
        const seen = (counters(program, `T${i}`)[1] ?? 0) > 0;
        if (followed !== seen)
          problems.push(`${name}: ${changes[i]?.join(" then ")}: the kernel ${seen}, the walk ${followed}`);
      }
    }
    for (const table of ["mangle", "raw"]) node.exec(program, ["-t", table, "-F"]);
    context.diagnostic(`${tried.length} targets`);
    assert.ok(tried.length > 12, `only ${tried.length} targets could be loaded`);
    assert.deepEqual(problems, []);
  });
}

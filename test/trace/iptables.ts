/** Rule sets of iptables at random, as iptables-restore reads them: for either variant, and either family. */
import { addresses } from "./arena.ts";
import { ports, type Random } from "./grammar.ts";

type Ip = keyof typeof addresses;

/** The chains that each table begins with. */
const builtIn = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
} as const;
type Table = keyof typeof builtIn;

const tables = Object.keys(builtIn) as Table[];

/** Some tables with chains of their own that jump to each other. */
export function randomIptables(random: Random, family: Ip): string {
  return tables
    .filter(() => random.percent(75))
    .map((table) => randomTable(random, family, table))
    .join("");
}

function randomTable(random: Random, family: Ip, table: Table): string {
  const own = ["MIDDLE", "LEAF"];
  const heads = [
    ...builtIn[table].map((chain) => `:${chain} ${table === "filter" && random.percent(10) ? "DROP" : "ACCEPT"} [0:0]`),
    ...own.map((chain) => `:${chain} - [0:0]`),
  ];
  const rules = [...builtIn[table], ...own].flatMap((chain) => {
    const targets = chain === "LEAF" ? [] : chain === "MIDDLE" ? ["LEAF"] : own;
    return Array.from(
      { length: 1 + random.below(4) },
      () => `-A ${chain} ${matches(random, family, chain)} ${target(random, family, table, chain, targets)}`,
    );
  });
  return `*${table}\n${heads.join("\n")}\n${rules.join("\n")}\nCOMMIT\n`;
}

function matches(random: Random, family: Ip, chain: string): string {
  const { clients, own, servers, strangers } = addresses[family];
  const any = () => random.of(...clients, ...own, ...servers, ...strangers);
  const net = () =>
    random.of(
      ...(family === "ip" ? ["10.1.0.0/24", "10.2.0.0/16", "10.0.0.0/8"] : ["fd01::/64", "fd02::/32", "fd00::/8"]),
    );
  const not = () => (random.percent(25) ? "! " : "");
  const port = () => random.of(...ports);
  const options: (() => string)[] = [
    () => `${not()}-s ${random.of(any(), net())}`,
    () => `${not()}-d ${random.of(any(), net())}`,
    () => `-p ${random.of("tcp", "udp", family === "ip" ? "icmp" : "ipv6-icmp")}`,
    () => `${not()}-p tcp`,
    () =>
      `-p ${random.of("tcp -m tcp", "udp -m udp")} ${not()}--dport ${random.of(String(port()), "50:500", ":1024", "8000:")}`,
    () =>
      `-p tcp -m tcp ${not()}--tcp-flags ${random.of("SYN,ACK SYN", "FIN,SYN,RST,ACK SYN", "ALL ACK", "SYN,RST SYN")}`,
    () => "-p tcp --syn",
    () =>
      `-p ${random.of("tcp", "udp")} -m multiport ${not()}--${random.of("dports", "ports", "sports")} ${port()},${port()},50:60`,
    () => `-m mark ${not()}--mark 0x${random.below(6).toString(16)}/0x${random.of("3", "7", "ffffffff")}`,
    () => `-m connmark ${not()}--mark 0x${random.below(4)}/0x3`,
    () =>
      `-m conntrack ${not()}--ctstate ${random.of("NEW", "RELATED,ESTABLISHED", "INVALID", "NEW,UNTRACKED", "DNAT", "SNAT")}`,
    () => `-m conntrack --ctorigdst ${random.of(any(), net())}`,
    () => `-m conntrack --ctorigdstport ${port()}`,
    () => `-m conntrack ${not()}--ctproto ${random.of("tcp", "udp")}`,
    () => `-m conntrack --ctdir ${random.of("ORIGINAL", "REPLY")}`,
    () => `-m state --state ${random.of("NEW", "ESTABLISHED", "INVALID")}`,
    () =>
      `-m addrtype ${not()}--${random.of("dst-type", "src-type")} ${random.of("LOCAL", "UNICAST", ...(family === "ip" ? ["BROADCAST"] : []))}`,
    () => `-m statistic --mode random --probability ${random.of("0.5", "0.33333333349", "0.25")}`,
    () =>
      `-m iprange ${not()}--${random.of("src", "dst")}-range ${family === "ip" ? "10.1.0.2-10.2.0.2" : "fd01::2-fd02::2"}`,
    () => `-m comment --comment "a rule ${random.below(9)}"`,
    () => `-m pkttype --pkt-type unicast`,
    () =>
      family === "ip"
        ? `-p icmp -m icmp --icmp-type ${random.of("8", "3", "echo-request", "any")}`
        : `-p ipv6-icmp -m icmp6 --icmpv6-type ${random.of("128", "129")}`,
    () => "-m tos --tos 0x0",
    () => `-m dscp ${not()}--dscp 0`,
    ...(/PREROUTING|INPUT|FORWARD/.test(chain) ? [() => `${not()}-i ${random.of("eth0", "eth+", "lo")}`] : []),
    ...(/OUTPUT|FORWARD|POSTROUTING/.test(chain) ? [() => `${not()}-o ${random.of("eth1", "eth+", "lo")}`] : []),
  ];
  return Array.from({ length: random.below(3) }, () => random.of(...options)()).join(" ");
}

function target(random: Random, family: Ip, table: Table, chain: string, targets: readonly string[]): string {
  const { own, servers } = addresses[family];
  const to = random.of(...servers, ...own);
  const port = random.of(...ports);
  const whole = family === "ip6" ? `[${to}]:${port}` : `${to}:${port}`;
  const options: string[] = [
    "-j RETURN",
    "-j ACCEPT",
    "",
    `-j MARK --set-xmark 0x${random.below(6)}/0x${random.of("7", "ffffffff")}`,
    `-j MARK --or-mark 0x${1 << random.below(3)}`,
    `-j MARK --and-mark 0x6`,
    `-j MARK --xor-mark 0x5`,
    "-j CONNMARK --save-mark",
    "-j CONNMARK --restore-mark",
    `-j CONNMARK --set-mark 0x${random.below(4)}`,
    ...targets.flatMap((each) => [`-j ${each}`, `-j ${each}`, `-g ${each}`]),
  ];
  if (table !== "nat") options.push("-j DROP");
  if (table === "filter") {
    options.push(
      "-j REJECT",
      `-j REJECT --reject-with ${family === "ip" ? "icmp-host-prohibited" : "icmp6-adm-prohibited"}`,
    );
    options.push("-p tcp -j REJECT --reject-with tcp-reset");
  }
  if (table === "raw") options.push("-j CT --notrack", "-j NOTRACK");
  if (table === "nat" && /PREROUTING|OUTPUT/.test(chain)) {
    for (const protocol of ["tcp", "udp"]) {
      options.push(`-p ${protocol} -j DNAT --to-destination ${whole}`, `-p ${protocol} -j REDIRECT --to-ports ${port}`);
    }
    options.push(`-j DNAT --to-destination ${to}`);
  }
  if (table === "nat" && chain === "POSTROUTING")
    options.push("-j MASQUERADE", `-j SNAT --to-source ${own[1]}`, "-j MASQUERADE --random-fully");
  return random.of(...options);
}

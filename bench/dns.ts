/**
 * Queries per second, CPU time per query and latency of `portolan dns`, asked by dnsperf, with a large cluster.
 * `--peer NAME=HOST:PORT` asks another server the same; `--seconds N` is the time of each run.
 */
import { type ChildProcess, execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createAuthority } from "../src/kube/server/tls/certificate.ts";

/** What one kind of query cost. */
export interface DnsFigures {
  readonly server: string;
  readonly queries: string;
  readonly perSecond: number;
  /** Microseconds of CPU time for each query, user and system; undefined for servers of others. */
  readonly cpu: number | undefined;
  readonly lost: number;
  /** Milliseconds of latency at half of that load: the median and the 99th percentile. */
  readonly median: number;
  readonly p99: number;
}

/** What {@link benchDns} measured beside that. */
export interface DnsResult {
  readonly figures: readonly DnsFigures[];
  /** Bytes that the server kept in memory: with the cluster known, after the queries, and the most. */
  readonly rss: { readonly before: number; readonly after: number; readonly peak: number };
}

/** What to measure. */
export interface DnsBenchOptions {
  readonly services: number;
  readonly endpoints: number;
  /** Of each run. */
  readonly seconds: number;
  /** Other servers, as `NAME=HOST:PORT`. */
  readonly peers: readonly string[];
}

const launcher = join(import.meta.dirname, "../portolan");
const port = 15353;
const tlsPort = 15853;

/** A file of queries, what they are, and how they are asked. */
interface Kind {
  readonly queries: string;
  readonly file: string;
  /** The port of our own server; peers are asked at theirs, and not at all where this is not the usual one. */
  readonly port: number;
  /** Flags of dnsperf. */
  readonly flags: readonly string[];
}

/** Starts a server with a cluster and asks it. Needs dnsperf (Debian: `apt-get install dnsperf`). */
export async function benchDns(options: DnsBenchOptions): Promise<DnsResult> {
  const directory = mkdtempSync(join(tmpdir(), "ptl-bench-dns-"));
  const api = fork(join(import.meta.dirname, "dns/server.ts"), [String(options.services), String(options.endpoints)]);
  const [apiPort] = await once(api, "message");
  const { certificate, key } = createAuthority("dns.test", new Date());
  const files = { Corefile: corefile(Number(apiPort), directory), "cert.pem": certificate, "key.pem": key };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  let server = start(directory);
  try {
    await ready();
    // The first start after a change of the source compiles, and keeps what it compiled: the second one counts.
    server.kill();
    await once(server, "exit");
    server = start(directory);
    await ready();
    const kinds = writeQueries(directory, options.services);
    const pid = server.pid ?? 0;
    const before = memoryOf(pid, "VmRSS");
    const figures = kinds.map((kind) => measure("portolan", "127.0.0.1", kind.port, kind, options.seconds, pid));
    for (const peer of options.peers) {
      const [name = "", host = "", peerPort = ""] = peer.split(/[=:]/);
      for (const kind of kinds.filter((one) => one.port === port))
        figures.push(measure(name, host, Number(peerPort), kind, options.seconds, undefined));
    }
    return { figures, rss: { before, after: memoryOf(pid, "VmRSS"), peak: memoryOf(pid, "VmHWM") } };
  } finally {
    server.kill();
    api.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Starts the server as users do: the flags that the launcher gives to Node count. */
function start(directory: string): ChildProcess {
  return spawn(launcher, ["dns", "-conf", join(directory, "Corefile")], { stdio: ["ignore", "ignore", "inherit"] });
}

/** The Corefile of a cluster as kubeadm writes it; external names come from a zone of this server itself. */
function corefile(apiPort: number, directory: string): string {
  return `.:${port} tls://.:${tlsPort} {
    tls ${directory}/cert.pem ${directory}/key.pem
    errors
    ready 127.0.0.1:18281
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      endpoint http://127.0.0.1:${apiPort}
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
      ttl 30
      startup_timeout 60s
    }
    prometheus 127.0.0.1:19253
    forward . 127.0.0.1:${port + 1}
    cache 30 {
      disable success cluster.local
      disable denial cluster.local
    }
    reload
    loadbalance
  }
  .:${port + 1} {
    bind 127.0.0.1
    erratic {
      drop 0
    }
  }
`;
}

async function ready(): Promise<void> {
  for (let i = 0; i < 600; i++) {
    const response = await fetch("http://127.0.0.1:18281/ready").catch(() => undefined);
    if (response?.status === 200) return;
    await delay(100);
  }
  throw new Error("the server did not become ready");
}

function writeQueries(directory: string, services: number): readonly Kind[] {
  const write = (name: string, line: (i: number) => string) => {
    const file = join(directory, name);
    writeFileSync(file, Array.from({ length: services }, (_, i) => line(i)).join("\n"));
    return file;
  };
  const zone = (i: number) => `ns-${i % 100}.svc.cluster.local`;
  const cluster = write("cluster", (i) => `svc-${i}.${zone(i)} A`);
  const missing = write("missing", (i) => `none-${i}.${zone(i)} A`);
  const srv = write("srv", (i) => `_http._tcp.svc-${i}.${zone(i)} SRV`);
  const external = write("external", (i) => `www${i % 1000}.example.org A`);
  return [
    { queries: "cluster names", file: cluster, port, flags: [] },
    { queries: "names that do not exist", file: missing, port, flags: [] },
    { queries: "endpoints, SRV", file: srv, port, flags: [] },
    { queries: "cached external names", file: external, port, flags: [] },
    { queries: "cluster names over TCP", file: cluster, port, flags: ["-m", "tcp"] },
    { queries: "cluster names over TLS", file: cluster, port: tlsPort, flags: ["-m", "dot"] },
  ];
}

/** As many queries as the server can take, then half as many. */
function measure(
  server: string,
  host: string,
  at: number,
  { queries, file, flags }: Kind,
  seconds: number,
  pid: number | undefined,
): DnsFigures {
  const where = ["-s", host, "-p", String(at), "-d", file, "-l", String(seconds), "-c", "8", "-q", "400", ...flags];
  const run = (program: string, ...args: readonly string[]) =>
    execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 30 });
  const ask = (...more: readonly string[]) => run("dnsperf", ...where, ...more);
  // What is compiled and kept while the first queries come is not what queries cost.
  if (pid !== undefined) ask("-l", "1");
  const before = pid === undefined ? 0 : cpuOf(pid);
  const output = ask();
  const used = pid === undefined ? undefined : cpuOf(pid) - before;
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const completed = number(/Queries completed:\s+(\d+)/);
  const perSecond = Math.round(number(/Queries per second:\s+([\d.]+)/));
  // Times of each of many queries would cost dnsperf as much as asking them: one client in a hundred notes its own. It
  // runs before everything else (chrt), and the load keeps to one processor: noted is what one waits for the server.
  const load = spawn("taskset", ["-c", "0", "dnsperf", ...where, "-Q", String(Math.floor(perSecond / 2))], {
    stdio: "ignore",
  });
  const few = ["-Q", String(Math.ceil(perSecond / 200)), "-c", "1", "-v"];
  const times = run("chrt", "-f", "10", "dnsperf", ...where, ...few)
    .split("\n")
    .filter((line) => line.startsWith("> "))
    .map((line) => Number(line.slice(line.lastIndexOf(" "))) * 1000)
    .sort((a, b) => a - b);
  load.kill();
  const percentile = (part: number) => Number((times[Math.floor(times.length * part)] ?? Number.NaN).toFixed(3));
  return {
    server,
    queries,
    perSecond,
    cpu: used === undefined ? undefined : Math.round((used / completed) * 100) / 100,
    lost: number(/Queries lost:\s+(\d+)/),
    median: percentile(0.5),
    p99: percentile(0.99),
  };
}

/** Microseconds of CPU time that a process has used. The kernel counts in hundredths of a second. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Bytes of memory of a process: what it has (`VmRSS`), or the most that it had (`VmHWM`). */
function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      services: { type: "string", default: "10000" },
      endpoints: { type: "string", default: "50000" },
      seconds: { type: "string", default: "5" },
      peer: { type: "string", multiple: true, default: [] },
    },
  });
  const result = await benchDns({
    services: Number(values.services),
    endpoints: Number(values.endpoints),
    seconds: Number(values.seconds),
    peers: values.peer,
  });
  console.table(result.figures);
  const mega = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MB`;
  const { before, after, peak } = result.rss;
  console.log(
    `memory: ${mega(before)} with the cluster known, ${mega(after)} after the queries, ${mega(peak)} at most`,
  );
}

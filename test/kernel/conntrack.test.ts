/** The connection tracker, judged by conntrack-tools. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  conntrackParts,
  deleteConntrack,
  flushConntrack,
  listConntrack,
  openConntrack,
  readConntrackStatistics,
  statusBit,
} from "../../src/kernel/conntrack/index.ts";
import { createNamespace, deleteNamespace, inNamespace } from "../../src/kernel/namespace.ts";
import { isNotFound, type NetlinkSocket } from "../../src/kernel/netlink/index.ts";

const namespace = `ptl-conntrack-${process.pid}`;
let socket: NetlinkSocket;

before(() => {
  createNamespace(namespace);
  socket = openConntrack(namespace);
});

after(() => {
  socket.close();
  deleteNamespace(namespace);
});

/** Runs conntrack-tools in the namespace. */
function conntrack(...args: readonly string[]): string {
  return inNamespace(namespace, () => execFileSync("conntrack", args, { encoding: "utf8", stdio: "pipe" }));
}

function create(protocol: "tcp" | "udp", source: string, destination: string, ...more: readonly string[]): void {
  const ports = ["--sport", "4000", "--dport", "53"];
  const state = protocol === "tcp" ? ["--state", "ESTABLISHED"] : [];
  conntrack("-I", "-p", protocol, "-s", source, "-d", destination, ...ports, "-t", "300", ...state, ...more);
}

/** What conntrack-tools lists, a line for each entry in the form of {@link describe}. */
function judged(): readonly string[] {
  const xml = ["ipv4", "ipv6"].map((family) => conntrack("-L", "-f", family, "-o", "xml")).join("");
  return [...xml.matchAll(/<flow>(.*?)<\/flow>/g)]
    .map(([, flow = ""]) => {
      const direction = (name: string) => {
        const part = new RegExp(`<meta direction="${name}">(.*?)</meta>`).exec(flow)?.[1] ?? "";
        const value = (tag: string) => new RegExp(`<${tag}>(.*?)</${tag}>`).exec(part)?.[1];
        return `${value("src")} ${value("sport")} ${value("dst")} ${value("dport")}`;
      };
      const value = (tag: string) => new RegExp(`<${tag}>(.*?)</${tag}>`).exec(flow)?.[1];
      return `${direction("original")} | ${direction("reply")} | ${value("mark") ?? 0} ${value("id")}`;
    })
    .sort();
}

function described(): readonly string[] {
  return listConntrack(socket)
    .map(({ original: o, reply: r, mark, id }) => {
      const side = (t: typeof o) => `${t.source} ${t.sourcePort} ${t.destination} ${t.destinationPort}`;
      return `${side(o)} | ${side(r)} | ${mark} ${id}`;
    })
    .sort();
}

test("entries are listed as conntrack-tools lists them, with filters", () => {
  create("udp", "10.0.0.1", "10.96.0.10", "-m", "7");
  create("udp", "10.0.0.2", "10.96.0.10", "--dst-nat", "10.244.0.9:5353", "--src-nat", "10.244.0.1");
  create("tcp", "10.0.0.1", "10.96.0.11", "--status", "ASSURED,SEEN_REPLY", "-w", "5");
  create("udp", "fd00::1", "fd00:96::a");
  assert.deepEqual(described(), judged());
  const all = listConntrack(socket);
  const translated = all.find(({ reply }) => reply.source === "10.244.0.9");
  assert.equal(translated?.reply.sourcePort, 5353);
  assert.equal(translated?.reply.destination, "10.244.0.1");
  assert.equal((translated?.status ?? 0) & (statusBit.sourceNat | statusBit.destinationNat), 0x30);
  const tcp = all.find(({ original }) => original.protocol === 6);
  assert.equal(tcp?.tcpState, "established");
  assert.equal(tcp?.zone, 5);
  assert.ok(tcp !== undefined && tcp.timeout > 290 && tcp.timeout <= 300);
  const count = (filter: Parameters<typeof listConntrack>[1]) => listConntrack(socket, filter).length;
  assert.equal(count({ family: "IPv4" }), 3);
  assert.equal(count({ family: "IPv6" }), 1);
  assert.equal(count({ protocol: 17 }), 3);
  assert.equal(count({ family: "IPv4", protocol: 17 }), 2);
  assert.equal(count({ family: "IPv4", protocol: 6 }), 1);
  assert.equal(count({ mark: { value: 7, mask: 0xff } }), 1);
  assert.equal(count({ zone: 5 }), 1);
});

test("one entry is deleted, and no other", () => {
  for (const entry of listConntrack(socket)) {
    const before = listConntrack(socket).length;
    assert.throws(() => deleteConntrack(socket, { ...entry, id: entry.id ^ 1 }), isNotFound, "not of another id");
    deleteConntrack(socket, entry);
    assert.equal(listConntrack(socket).length, before - 1);
    assert.throws(() => deleteConntrack(socket, entry), isNotFound);
  }
  assert.deepEqual(judged(), []);
});

test("statistics count entries, and a flush forgets them all", () => {
  create("udp", "10.0.1.1", "10.96.0.10");
  const { entries, maximum, events } = readConntrackStatistics(socket);
  assert.equal(entries, 1);
  assert.ok((maximum ?? 1) > 0);
  assert.equal(events.insertFailed, 0);
  flushConntrack(socket);
  assert.equal(readConntrackStatistics(socket).entries, 0);
});

test("a large table comes in parts, and others can run in between", async () => {
  const insert = "conntrack -I -p udp -s 10.0.0.1 -d 10.96.0.10 --sport 4000 -t 300 --dport";
  const script = `for port in $(seq 400); do ${insert} $port; done`;
  inNamespace(namespace, () => execFileSync("sh", ["-c", script], { stdio: "ignore" }));
  using own = openConntrack(namespace);
  const filter = { family: "IPv4", protocol: 17 } as const;
  const parts: number[] = [];
  const ports = new Set<number>();
  for (const part of conntrackParts(own, filter)) {
    parts.push(part.length);
    for (const { original } of part) ports.add(original.destinationPort ?? 0);
    await nextTurn();
  }
  assert.ok(parts.length > 3 && Math.max(...parts) < 300, parts.join());
  for (let port = 1; port <= 400; port++) assert.ok(ports.has(port), `port ${port}`);
  flushConntrack(socket);
});

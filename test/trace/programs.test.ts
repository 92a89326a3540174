/** eBPF programs and filters of tc on a packet's way: what they do is not followed, and a walk says so where they are. */
import assert from "node:assert/strict";
import { mkdirSync, rmdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { programName, programsOfCgroup, topmostCgroup } from "../../src/kernel/bpf/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { summaryOf } from "../../src/trace/render/index.ts";
import { captureSurroundings, formatSnapshot, parseSnapshot } from "../../src/trace/snapshot/index.ts";
import { type Walk, walk } from "../../src/trace/walk/index.ts";
import { attachProgram } from "../support/bpf.ts";
import { TestNetwork } from "../support/network.ts";

const network = new TestNetwork("programs");
const [a, b] = [network.host("a"), network.host("b")];

before(() => {
  network.join(a, "left", b, "right");
  a.address("left", "192.0.2.1/24");
  b.address("right", "192.0.2.2/24");
});
after(() => network.close());

/** An echo request from one to the other, as the document says that is written of the snapshot. */
async function asked(destination = "192.0.2.2"): Promise<Walk> {
  const snapshot = parseSnapshot(formatSnapshot(await captureSurroundings(a.namespace)), "snapshot");
  return walk(snapshot, {
    packet: { family: "IPv4", destination: parseAddress(destination), protocol: 1, icmpType: 8 },
  });
}

/** What a walk takes for granted where it goes on, and why it does not know where it ends. */
async function doubts(): Promise<readonly string[]> {
  const { ends } = await asked();
  return ends.map(({ outcome, state }) =>
    outcome.kind === "unknown" ? `${state.place.at(-1)}: ${outcome.why}` : outcome.kind,
  );
}

const notFollowed = "may drop it, change it or send it elsewhere, which is not followed";

test("without programs, nothing depends on them", async () => {
  assert.deepEqual(await doubts(), ["delivered"]);
});

test("programs at a link's driver, and where it receives and sends, are named with the place", async () => {
  const left = a.link("left").index;
  const right = b.link("right").index;
  using _sends = a.run(() => attachProgram("sends", "egress", left));
  using _driver = b.run(() => attachProgram("driver", "xdp", right));
  using _receives = b.run(() => attachProgram("receives", "ingress", right));
  assert.deepEqual(await doubts(), [
    `a: eBPF program sends at egress of left (tc) ${notFollowed}`,
    `b: eBPF program driver at the driver of right (XDP) ${notFollowed}`,
    `b: eBPF program receives at ingress of right (tc) ${notFollowed}`,
    "delivered",
  ]);
  assert.equal(summaryOf(await asked()), "depends");
});

test("programs at loopback are named for what a place sends to itself", async () => {
  using _ = a.run(() => attachProgram("own", "ingress", 1));
  const { ends } = await asked("192.0.2.1");
  assert.deepEqual(
    ends.map(({ outcome }) => ("why" in outcome ? outcome.why : outcome.kind)),
    [`eBPF program own at ingress of lo (tc) ${notFollowed}`, "delivered"],
  );
});

test("filters of tc are named by their kind", async () => {
  b.exec("tc", ["qdisc", "add", "dev", "right", "clsact"]);
  b.exec("tc", ["filter", "add", "dev", "right", "ingress", "bpf", "da", "bytecode", "1,6 0 0 4294967295"]);
  assert.deepEqual(await doubts(), [`b: eBPF program at ingress of right (tc) ${notFollowed}`, "delivered"]);
  b.exec("tc", ["qdisc", "del", "dev", "right", "clsact"]);
  assert.deepEqual(await doubts(), ["delivered"]);
});

test("programs that are attached to a cgroup are found for the groups in it, with their names", () => {
  const top = topmostCgroup();
  assert.ok(top !== undefined, "this machine has no cgroup of version 2");
  const outer = `${top}/ptl-programs-${process.pid}`;
  mkdirSync(`${outer}/inner`, { recursive: true });
  try {
    using _ = attachProgram("connects", "connect4", outer);
    assert.deepEqual(programsOfCgroup(`${outer}/inner`, "connect4").map(programName).slice(-1), ["connects"]);
    assert.ok(!programsOfCgroup(`${outer}/inner`, "sendmsg6").map(programName).includes("connects"));
  } finally {
    rmdirSync(`${outer}/inner`);
    rmdirSync(outer);
  }
});

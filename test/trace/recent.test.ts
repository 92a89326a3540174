/** Whom iptables' match `recent` remembers: the walk says what the kernel's counters say, packet after packet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSnapshot } from "../../src/trace/snapshot/document.ts";
import { capture, parseSnapshot, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type Question, stepsOf, walk } from "../../src/trace/walk/index.ts";
import { from, nodeBetween, packets, send, to } from "./between.ts";
import { lockOfOurOwn } from "./support.ts";

lockOfOurOwn();
const { node, client } = nodeBetween("recent");

const rules = [
  "-m recent --name seen --rcheck",
  "! -s 10.1.0.9 -m recent --name seen ! --rcheck --seconds 100 --reap",
  "-m recent --name seen --rcheck --seconds 1",
  "-m recent --name seen --rcheck --hitcount 2",
  "-m recent --name seen --rcheck --seconds 100 --hitcount 3",
  "-m recent --name seen --rdest --rcheck",
  "-m recent --name target --rdest --rcheck",
  "-m recent --name net --mask 255.255.255.0 --rcheck",
  "-m recent --name once --remove",
  "-m recent --name kept --update --seconds 100",
  "-m recent --name seen --rcheck --rttl",
  "-p udp -m recent --name once --set",
  "-m recent --name seen --set",
  "-m recent --name target --rdest --set",
  "-m recent --name net --mask 255.255.255.0 --set",
  "-p tcp -m recent --name kept --set",
  "-m recent --name limit --set",
  "-m recent --name limit --rcheck",
  "-m recent --name limit --update --seconds 100 --hitcount 3",
];
const [tcp, udp] = packets;

const question = ({ name: _, ...packet }: (typeof packets)[number]): Question => ({
  input: "eth0",
  packet: { family: "IPv4", source: from, destination: to, ttl: 64, ...packet },
});

/** The numbers of the rules that matched, and how many ways there are. */
function matched(snapshot: Snapshot, packet: (typeof packets)[number]): readonly number[] {
  const { ends } = walk(snapshot, question(packet), { steps: 10_000, everyRule: true });
  assert.equal(ends.length, 1, "nothing depends");
  const steps = ends.flatMap(({ state }) => stepsOf(state));
  return steps.flatMap((step) => (step.kind === "rule" && step.chain === "PREROUTING" ? [step.number] : []));
}

function counters(program: string): readonly number[] {
  const lines = node.exec(`${program}-save`, ["-t", "mangle", "-c"]).split("\n");
  return lines.filter((line) => line.includes("-A PREROUTING")).map((line) => Number(/^\[(\d+):/.exec(line)?.[1]));
}

for (const variant of ["nft", "legacy"] as const) {
  test(`iptables-${variant}: who is remembered is told from the kernel's lists`, async () => {
    const program = `iptables-${variant}`;
    const text = rules.map((rule) => `-A PREROUTING -i eth0 ${rule}`).join("\n");
    node.exec(`${program}-restore`, [], { input: `*mangle\n${text}\nCOMMIT\n` });
    for (const packet of [tcp, udp, tcp, tcp]) {
      const snapshot = parseSnapshot(formatSnapshot(await capture(node.namespace)), "snapshot");
      const said = matched(snapshot, packet);
      node.exec(program, ["-t", "mangle", "-Z"]);
      await send(client, packet);
      const seen = counters(program).flatMap((count, i) => (count > 0 ? [i + 1] : []));
      assert.deepEqual(said, seen, JSON.stringify(snapshot.recent));
    }
    // A second later, one rule less: the kernel's time is understood.
    await new Promise((done) => setTimeout(done, 1200));
    const later = await capture(node.namespace);
    assert.ok(!matched(later, tcp).includes(3));
    const { recent: _, ...older } = later;
    assert.ok(walk(older, question(tcp), { steps: 10_000, everyRule: true }).ends.length >= 1);
    node.exec(program, ["-t", "mangle", "-F"]);
  });
}

/** What rules see of later packets of a connection, in the kernel and in walks. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { capture } from "../../src/trace/snapshot/index.ts";
import { type Phase, stepsOf, walk } from "../../src/trace/walk/index.ts";
import { attemptTcp, serveTcp } from "../support/sockets.ts";
import { nodeBetween, snapshots } from "./between.ts";

const between = nodeBetween("state");
const { client, node, server } = between;

const serverAddress = parseAddress("10.2.0.2");
const service = parseAddress("10.96.0.1");
const phases: readonly Phase[] = ["new", "established", "reply"];

/** Connects through rules. @returns whether the server was heard, and the comments of the rules that the kernel counted. */
async function connect(
  rules: string,
  { to = service, port = 80, timeout = 400 } = {},
): Promise<{ readonly heard: boolean; readonly counted: readonly string[] }> {
  node.exec("nft", ["-f", "-"], { input: `flush ruleset\n${rules}` });
  const attempt = await attemptTcp(client, { to, port, timeout });
  const { nftables } = await capture(node.namespace);
  const counted = nftables.rules.flatMap(({ comment, expressions }) =>
    comment !== undefined && expressions.some((each) => each.kind === "counter" && each.packets > 0) ? [comment] : [],
  );
  // What the tracker remembers is not to help the next one.
  node.exec("conntrack", ["-F"], { stdio: "pipe" });
  return { heard: attempt.kind === "answered", counted };
}

/** What the walk says: how each phase ends, and the comments of the rules that match. */
async function walked(destination = service, destinationPort = 80) {
  const taken = await snapshots(between);
  const packet = { family: "IPv4", destination, protocol: 6, destinationPort } as const;
  return phases.map((phase) => {
    const { ends } = walk(taken, { packet, phase }, { answers: true });
    const comments = ends.flatMap(({ state }) =>
      stepsOf(state).flatMap((step) => (step.kind === "rule" && step.comment !== undefined ? [step.comment] : [])),
    );
    return { ends: ends.map(({ outcome }) => outcome.kind), comments };
  });
}

const translation = `table ip nat {
  chain there { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 counter dnat to 10.2.0.2:8080 comment "translated"; }
  chain back { type nat hook postrouting priority 100; oifname "eth1" counter masquerade comment "masqueraded"; }
}`;
const forward = (rules: string) =>
  `${translation}\ntable ip f { chain passing { type filter hook forward priority 0\n${rules}\n}\n}`;

const listener = serveTcp(server, serverAddress, 8080, () => "here");
after(() => listener.close());

test("rules count the packets of each phase in the kernel as in walks", async () => {
  const rules = forward(`
    ct state new ip daddr 10.2.0.2 counter comment "first"
    ct state new ct direction reply counter comment "never: a new answer"
    ct state established ct direction original ct status dnat tcp dport 8080 counter comment "later"
    ct state established ct direction reply ip daddr 10.1.0.2 tcp sport 8080 counter comment "back"
    ct state established tcp flags & (syn | ack) == syn counter comment "never: another SYN"`);
  const { heard, counted } = await connect(rules);
  assert.ok(heard);
  const ways = await walked();
  assert.deepEqual(
    ways.map(({ ends }) => ends),
    [["delivered"], ["delivered"], ["delivered"]],
  );
  const [first, later, back] = ways.map(({ comments }) => comments);
  assert.deepEqual([first, later, back], [["translated", "first", "masqueraded"], ["later"], ["back"]]);
  assert.deepEqual(counted.toSorted(), ["back", "first", "later", "masqueraded", "translated"]);
});

test("a rule that drops one phase keeps the server from being heard, and the walk of that phase tells which rule it is", async () => {
  for (const [rule, dropped] of [
    ['ct state new counter drop comment "drop"', [true, true, true]],
    ['ct state established ct direction reply counter drop comment "drop"', [false, true, true]],
    [
      'ct state established tcp flags & (syn | ack) == ack ct direction reply counter drop comment "drop"',
      [false, false, true],
    ],
  ] as const) {
    const { heard, counted } = await connect(forward(rule));
    assert.equal(heard, false, rule);
    assert.ok(counted.includes("drop"), rule);
    const ways = await walked();
    assert.deepEqual(
      ways.map(({ ends }) => ends.includes("dropped")),
      dropped,
      rule,
    );
  }
});

test("behind synproxy the node's own SYN reaches the server by hook output, and not by forward", async () => {
  const rules = `table ip t {
    chain before { type filter hook prerouting priority -300; tcp dport 8080 tcp flags & (syn | ack) == syn notrack; }
    chain own { type filter hook output priority 0; ip saddr 10.1.0.2 ct state new counter comment "output"; }
    chain passing { type filter hook forward priority 0
      tcp dport 8080 ct state invalid,untracked counter synproxy mss 1460 wscale 7 timestamp sack-perm comment "proxy"
      tcp dport 8080 ct state new counter comment "never: forwarded"
    }
  }`;
  node.sysctl("net/netfilter/nf_conntrack_tcp_loose", 0);
  // A server that speaks first waits until the client's window is open.
  const { heard, counted } = await connect(rules, { to: serverAddress, port: 8080, timeout: 4000 });
  assert.ok(heard, counted.join());
  assert.deepEqual(counted.toSorted(), ["output", "proxy"]);
  const [first] = await walked(serverAddress, 8080);
  assert.deepEqual(first, { ends: ["delivered"], comments: ["proxy", "output"] });
});

/** Zones of connection tracking: connections of different ones do not know each other, in the kernel as in walks. */
import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { parseAddress } from "../../src/net/address.ts";
import { summaryOf } from "../../src/trace/render/index.ts";
import { stepsOf, walk } from "../../src/trace/walk/index.ts";
import { attemptTcp, attemptUdp, serveTcp, serveUdp } from "../support/sockets.ts";
import { nodeBetween, snapshots, to } from "./between.ts";
import { lockOfOurOwn } from "./support.ts";

lockOfOurOwn();
const between = nodeBetween("zones");
const { node, client, server } = between;
const service = parseAddress("10.96.0.1");
const listeners = [serveTcp(server, to, 8080, () => "here"), serveUdp(server, to, 8080, () => "here")];
after(() => {
  for (const listener of listeners) listener.close();
});
const forget = () => {
  node.exec("nft", ["flush", "ruleset"]);
  node.exec("iptables-legacy", ["-t", "raw", "-F"]);
  node.exec("conntrack", ["-F"], { stdio: "pipe" });
};
afterEach(forget);

const packet = { family: "IPv4", destination: service, protocol: 6, destinationPort: 80 } as const;
const nft = (rules: string) => {
  const translation = `type nat hook prerouting priority -100; ip daddr ${service} meta l4proto { tcp, udp } th dport 80 dnat to ${to}:8080`;
  node.exec("nft", ["-f", "-"], { input: `table ip zones {\nchain there {\n${translation}\n}\n${rules}\n}` });
};
const raw = (rules: string) => `chain raw { type filter hook prerouting priority -300\n${rules}\n}`;

/** What becomes of a connection to the service, as the walk says: the kernel does the same. */
async function outcome(): Promise<string> {
  const told = summaryOf(walk(await snapshots(between), { packet }, { answers: true }));
  const attempt = await attemptTcp(client, { to: service, port: 80, timeout: told === "delivered" ? 4000 : 300 });
  assert.equal(attempt.kind, told === "delivered" ? "answered" : "silent", told);
  return told;
}

test("an answer that no rule puts into the connection's zone is not known for one", async () => {
  nft(raw('iifname "eth0" ct zone set 5'));
  assert.equal(await outcome(), "unanswered");
  forget();
  nft(raw('iifname { "eth0", "eth1" } ct zone set 5'));
  assert.equal(await outcome(), "delivered");
});

test("a zone of one direction leaves the other in the usual one", async () => {
  nft(raw('iifname "eth0" ct original zone set 5'));
  assert.equal(await outcome(), "delivered");
  forget();
  nft(raw('iifname "eth0" ct reply zone set 5'));
  assert.equal(await outcome(), "unanswered");
});

test("both variants of iptables say zones likewise", async () => {
  for (const program of ["iptables", "iptables-legacy"]) {
    const rule = (input: string, ...zone: readonly string[]) =>
      node.exec(program, ["-t", "raw", "-A", "PREROUTING", "-i", input, "-j", "CT", ...zone]);
    nft("");
    rule("eth0", "--zone", "7");
    assert.equal(await outcome(), "unanswered", program);
    rule("eth1", "--zone", "7");
    assert.equal(await outcome(), "delivered", program);
    forget();
    nft("");
    rule("eth0", "--zone-orig", "7");
    // What is in a zone is tracked, whatever later rules say.
    rule("eth0", "--notrack");
    assert.equal(await outcome(), "delivered", program);
    forget();
  }
});

test("rules see the zone of each direction", async () => {
  nft(
    `${raw("ct original zone set 9")}
     chain seen { type filter hook forward priority 0; policy drop
       ct original zone 9 ct reply zone 0 ct zone 9 accept
     }`,
  );
  assert.equal(await outcome(), "delivered");
});

test("connections that stand are found in their zone alone", async () => {
  for (const zone of ["ct zone set 3", 'iifname "eth0" ct original zone set 3']) {
    nft(raw(zone));
    const attempt = await attemptUdp(client, { to: service, port: 80, timeout: 4000 });
    assert.equal(attempt.kind, "answered", zone);
    const tracked = async (): Promise<readonly (boolean | undefined)[]> => {
      const taken = await snapshots(between);
      const sourcePort = taken[1]?.conntrack.find(({ original }) => original.protocol === 17)?.original.sourcePort;
      assert.ok(sourcePort !== undefined);
      const { ends } = walk(taken, { packet: { ...packet, protocol: 17, sourcePort } });
      const steps = ends.flatMap(({ state }) => stepsOf(state));
      return steps.flatMap((step) => (step.kind === "tracked" ? [step.real] : []));
    };
    assert.deepEqual(await tracked(), [true], zone);
    node.exec("nft", ["flush", "chain", "ip", "zones", "raw"]);
    assert.deepEqual(await tracked(), [], zone);
    forget();
  }
});

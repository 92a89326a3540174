/** Changes that are only thought of: what a walk says of them is what the kernel does once they are made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listNamespaces } from "../../src/kernel/namespace.ts";
import { parseAddress } from "../../src/net/address.ts";
import { verify } from "../../src/trace/verify/verify.ts";
import { Cluster, type Question, type Walk, walkCluster } from "../../src/trace/walk/index.ts";
import { changedCluster, formatBoth, parseChanges } from "../../src/trace/whatif/index.ts";
import { nodeBetween, snapshots } from "./between.ts";

const between = nodeBetween("whatif");
const { node } = between;
node.exec("nft", ["-f", "-"], {
  input: `table inet shop {
    set allowed { type ipv4_addr; elements = { 10.1.0.2 } }
    map front { type inet_service : verdict; elements = { 80 : jump web } }
    chain web { ip saddr @allowed accept; drop; }
    chain passing { type filter hook forward priority 0; tcp dport vmap @front; ct state { new, established } counter; }
  }`,
});
const places = () => snapshots(between);
const question: Question = {
  packet: { family: "IPv4", destination: parseAddress("10.2.0.2"), protocol: 6, destinationPort: 80 },
};

async function both(text: string): Promise<{ readonly then: Walk; readonly text: string }> {
  const taken = await places();
  const now = new Cluster(taken, 100_000);
  const changed = await changedCluster(taken, now, parseChanges(text, "file"), 100_000);
  const then = walkCluster(changed, question);
  return { then, text: formatBoth(walkCluster(now, question), then) };
}

const outcomes = ({ ends }: Walk) => ends.map(({ outcome }) => outcome.kind);

test("sysctls, links, routes and policies change what becomes of a packet, and where is told", async () => {
  const { then, text } = await both(`{place: ${node.namespace}, sysctls: {net.ipv4.ip_forward: 0}}`);
  assert.deepEqual(outcomes(then), ["forwarding off"]);
  assert.match(text, /As it is:\n +refused by .*\n\nWith the changes:\n +dropped: .* does not forward/);
  assert.deepEqual(outcomes((await both(`{place: ${node.namespace}, links: {eth1: {up: false}}}`)).then), ["no route"]);
  const elsewhere = `{place: ${node.namespace}, addRoutes: [{destination: 10.2.0.2/32, interface: eth0}]}`;
  assert.deepEqual(outcomes((await both(elsewhere)).then), ["no neighbour"]);
  await assert.rejects(both("sysctls: {net.ipv4.nothing: 1}"), /sysctl net\.ipv4\.nothing decides nothing here/);
  await assert.rejects(both("place: nowhere"), /there is no place nowhere: there are /);
});

test("nft commands are carried out on a copy of the rules, and the kernel agrees once they are made", async () => {
  const commands = "delete element inet shop allowed { 10.1.0.2 }\ninsert rule inet shop passing udp dport 53 drop";
  const before = node.exec("nft", ["list", "ruleset"]);
  const { then, text } = await both(`place: ${node.namespace}\nnft: |\n${commands.replaceAll(/^/gm, "  ")}\n`);
  assert.deepEqual(outcomes(then), ["dropped"]);
  assert.match(text, /- inet shop web #1: accept\n/);
  assert.match(text, /\+ inet shop web #2: drop\n/);
  assert.equal(node.exec("nft", ["list", "ruleset"]), before);
  assert.ok(!listNamespaces().includes(`portolan-rehearsal-${process.pid}`));
  node.exec("nft", ["-f", "-"], { input: commands });
  const made = await places();
  const real = await verify(() => new Cluster(made, 100_000), question, AbortSignal.timeout(10_000));
  assert.equal(real.comparison.kind === "agrees" && real.comparison.way.outcome.kind, "dropped");
  await assert.rejects(
    both(`{place: ${node.namespace}, nft: "add rule inet shop nothing drop"}`),
    /nft: .*No such file/s,
  );
});

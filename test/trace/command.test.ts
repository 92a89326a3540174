import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { snapshot } from "../../src/cli/snapshot.ts";
import { trace } from "../../src/cli/trace.ts";
import { parseAddress } from "../../src/net/address.ts";
import { TestNetwork } from "../support/network.ts";
import { serveTcp } from "../support/sockets.ts";
import { temporaryDirectory } from "./support.ts";

const network = new TestNetwork("trace");
after(() => network.close());
const node = network.host("node");
const other = network.host("other");
network.join(node, "eth0", other, "eth0");
network.join(node, "eth1", other, "eth1");
node.address("eth0", "192.0.2.1/24");
node.address("eth1", "198.51.100.1/24");
node.addRoute("10.0.0.0/8", { via: "198.51.100.2" });
node.exec("nft", ["-f", "-"], {
  input: `table ip shop {
    map backends { typeof numgen random mod 3 : ip daddr; elements = { 0 : 10.0.0.1, 1 : 10.0.0.2, 2 : 10.0.0.3 } }
    chain pre { type nat hook prerouting priority -100
      ip daddr 192.0.2.100 tcp dport 80 dnat to numgen random mod 3 map @backends : 8080
    }
    chain passing { type filter hook forward priority 0
      ip saddr 192.0.2.66 reject with icmp type host-prohibited
      ip saddr 192.0.2.67 drop comment "not this one"
      ip ttl 7 drop
    }
  }`,
});

/** Runs the command as a user does. */
async function run(...args: readonly string[]): Promise<{ readonly status: number; readonly out: string }> {
  let out = "";
  const context = {
    out: (text: string) => {
      out += text;
    },
    err() {},
    signal: AbortSignal.timeout(10_000),
    onHangUp() {},
  };
  const status = await trace.run(["--namespace", node.namespace, "--alone", ...args], context);
  return { status, out };
}

test("without forwarding, the reason is the sysctl", async () => {
  node.sysctl("net/ipv4/ip_forward", 0);
  const { status, out } = await run("--in", "eth0", "192.0.2.5", "192.0.2.100:80");
  assert.match(out, /Why: .* does not forward: sysctl net\/ipv4\/conf\/eth0\/forwarding is 0/);
  assert.equal(status, 15);
  node.sysctl("net/ipv4/ip_forward", 1);
  for (const name of ["all", "eth0"]) node.sysctl(`net/ipv4/conf/${name}/rp_filter`, 0);
});

test("a random choice is told as one of its endpoints, and what is not known as a condition", async () => {
  const { status, out } = await run("--in", "eth0", "192.0.2.5", "192.0.2.100:80");
  assert.match(
    out,
    /if not: time to live eq 7: goes to one of 3: 10\.0\.0\.1:8080, 10\.0\.0\.2:8080, 10\.0\.0\.3:8080/,
  );
  assert.match(out, /if time to live eq 7: dropped by ip shop passing rule 3/);
  assert.equal(status, 21);
});

test("a later packet, or one back, of a connection that is set up can be asked about, and other states are refused", async () => {
  const ends = ["--in", "eth0", "192.0.2.5", "192.0.2.100:80"];
  const later = await run("--state", "established", "--ttl", "64", ...ends);
  assert.match(
    later.out,
    /a connection that is set up\n[\s\S]*taken to be set up[\s\S]*was seen before: it goes to 10\.0\.0\./,
  );
  assert.equal(later.status, 0);
  const back = await run("--state", "reply", "-o", "json", "--ttl", "64", ...ends);
  const { state, ways } = JSON.parse(back.out);
  assert.equal(state, "reply");
  type Way = { readonly outcome: { readonly kind: string }; readonly packet: { source: string; sourcePort: number } };
  const arrived = (ways as Way[]).filter(({ outcome }) => outcome.kind === "forwarded");
  const sources = arrived.map(({ packet: { source, sourcePort } }) => `${source}:${sourcePort}`);
  assert.deepEqual([...new Set(sources)], ["192.0.2.100:80"]);
  await assert.rejects(run("--state", "old", ...ends), /--state old: must be new, established or reply/);
});

test("the rule that rejects or drops is named", async () => {
  const rejected = await run("--in", "eth0", "192.0.2.66", "10.0.0.9:443");
  assert.match(rejected.out, /Result: rejected by ip shop passing rule 1, with ICMP error code 10/);
  assert.equal(rejected.status, 10);
  const dropped = await run("--in", "eth0", "192.0.2.67", "10.0.0.9:443");
  assert.match(dropped.out, /"not this one"/);
  assert.equal(dropped.status, 11);
});

test("a node's own packet finds a listening socket, nobody, or no route", async () => {
  const listener = serveTcp(node, parseAddress("192.0.2.1"), 8080, () => "");
  try {
    assert.equal((await run("node", "192.0.2.1:8080")).status, 0);
    assert.equal((await run("node", "192.0.2.1:8081")).status, 13);
    assert.equal((await run("node", "203.0.113.1:1")).status, 12);
  } finally {
    listener.close();
  }
});

test("rp_filter and addresses of the node's own are reasons", async () => {
  node.sysctl("net/ipv4/conf/eth0/rp_filter", 1);
  const wrongWay = await run("--in", "eth0", "10.1.1.1", "192.0.2.1:80");
  assert.match(wrongWay.out, /rp_filter is 1, and the way back to 10\.1\.1\.1 is by eth1, not by eth0/);
  assert.match(wrongWay.out, /To do: sysctl -w net\.ipv4\.conf\.eth0\.rp_filter=2, on /);
  assert.equal(wrongWay.status, 14);
  node.sysctl("net/ipv4/conf/eth0/rp_filter", 0);
  assert.equal((await run("--in", "eth0", "198.51.100.1", "192.0.2.1:80")).status, 14);
});

test("a snapshot file tells the same as the live node, and JSON has every way", async () => {
  using directory = temporaryDirectory();
  const file = `${directory.path}/node.json`;
  const context = { out() {}, err() {}, signal: AbortSignal.timeout(10_000), onHangUp() {} };
  await snapshot.run(["--namespace", node.namespace, "--alone", "-o", file], context);
  let out = "";
  const status = await trace.run(["--snapshot", file, "-o", "json", "--in", "eth0", "192.0.2.5", "192.0.2.100:80"], {
    ...context,
    out(text) {
      out += text;
    },
  });
  const { ways, summary } = JSON.parse(out);
  assert.equal(summary, "depends");
  assert.equal(status, 21);
  assert.deepEqual(
    new Set(ways.map(({ outcome }: { outcome: { kind: string } }) => outcome.kind)),
    new Set(["forwarded", "dropped"]),
  );
});

test("wrong usage is refused with all that is wrong", async () => {
  await assert.rejects(run("10.0.0.1", "fd00::1"), /TO fd00::1: say which port/);
  await assert.rejects(run("--in", "eth9", "10.0.0.1", "10.0.0.2:80"), /there is no interface eth9/);
  await assert.rejects(
    run("node", "shop/web:http"),
    /no names here without the cluster's API, but for Services that comments of rules name: name it with --kubeconfig/,
  );
  await assert.rejects(
    run("--verify", "-o", "json", "--svg", "way.svg", "node", "10.0.0.1:80"),
    /--verify and --output json: .*--verify and --svg: /s,
  );
  await assert.rejects(run("--what-if", "/", "node", "10.0.0.1:80"), /^Error: \/: cannot be read: EISDIR/);
});

for (const variant of ["nft", "legacy"]) {
  test(`without an API, Services have the names that comments of iptables (${variant}) say`, async () => {
    const rules = readFileSync(new URL("rulesets/kube-proxy.iptables", import.meta.url), "utf8");
    node.exec(`iptables-${variant}-restore`, [], { input: rules });
    try {
      const { out } = await run("--in", "eth0", "--ttl", "64", "192.0.2.5", "shop/web:http");
      assert.match(out, /→ service shop\/web:http \(cluster IP 10\.96\.0\.1:80, as rules say\)/);
      assert.match(out, /KUBE-SVC-WEB {2}"shop\/web:http cluster IP"/);
      assert.match(out, /10\.2\.0\.2:8080 .*endpoint of shop\/web:http/);
      await assert.rejects(
        run("--in", "eth0", "192.0.2.5", "shop/web:https"),
        /has no port https: there are http 80\/tcp/,
      );
    } finally {
      const tables = ["nat", "filter"].map((table) => `*${table}\nCOMMIT\n`).join("");
      node.exec(`iptables-${variant}-restore`, [], { input: tables });
    }
  });
}

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { snapshot as command } from "../../src/cli/snapshot.ts";
import { namespaceId } from "../../src/kernel/namespace.ts";
import { parseAddress } from "../../src/net/address.ts";
import { capture, captureSurroundings, formatSnapshot, parseSnapshot } from "../../src/trace/snapshot/index.ts";
import { TestNetwork } from "../support/network.ts";
import { serveTcp } from "../support/sockets.ts";
import { temporaryDirectory } from "./support.ts";

const network = new TestNetwork("snapshot");
after(() => network.close());
const host = network.host("node");
const other = network.host("other");
network.join(host, "eth0", other, "eth0");
host.address("eth0", "192.0.2.1/24", "2001:db8::1/64");
host.addRoute("default", { via: "192.0.2.254" });
host.exec("nft", ["-f", "-"], {
  input: `table inet t {
    set s { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90 } }
    map m { type mark : verdict; elements = { 1 : drop, 2 : jump c } }
    chain c { counter log prefix "x" limit rate 5/second; }
    chain base { type filter hook input priority 5; policy drop;
      ct state { established, related } accept comment "go on"
      meta mark vmap @m
      ip saddr . tcp dport @s reject with tcp reset
      fib saddr . iif oif missing drop
    }
  }`,
});
host.exec("ipset", ["create", "ptl-test", "hash:net,port"]);
host.exec("ipset", ["add", "ptl-test", "192.0.2.0/24,tcp:80", "nomatch"]);
host.exec("iptables-legacy", ["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-j", "RETURN"]);

test("a namespace is written and read back as it was", async () => {
  const listener = serveTcp(host, parseAddress("192.0.2.1"), 8080, () => "");
  try {
    const taken = await capture(host.namespace);
    assert.deepEqual(taken.missing, []);
    assert.deepEqual(
      JSON.parse(formatSnapshot(parseSnapshot(formatSnapshot(taken), "file"))),
      JSON.parse(formatSnapshot(taken)),
    );
    assert.ok(taken.links.some(({ name }) => name === "eth0"));
    assert.deepEqual(taken.sockets, [{ protocol: "TCP", address: "192.0.2.1", port: 8080 }]);
    assert.deepEqual(
      taken.iptables.map(({ family, name, chains }) => [family, name, chains[0]?.name, chains[0]?.rules]),
      [["IPv4", "nat", "PREROUTING", ["-p tcp -j RETURN"]]],
    );
    assert.deepEqual(
      taken.iptables[0]?.chains[0]?.expressions?.map((rule) => rule.map(({ kind }) => kind)),
      [["meta", "cmp", "verdict"]],
    );
    assert.deepEqual(
      taken.ipsets.map(({ name, type, elements }) => ({ name, type, elements })),
      [
        {
          name: "ptl-test",
          type: "hash:net,port",
          elements: [{ address: "192.0.2.0", prefixLength: 24, protocol: 6, port: 80, nomatch: true }],
        },
      ],
    );
    assert.equal(taken.nftables.rules.length, 5);
    assert.equal(taken.sysctls["net/ipv4/conf/eth0/rp_filter"] !== undefined, true);
  } finally {
    listener.close();
  }
});

test("the command writes a file that only its owner reads", async () => {
  using directory = temporaryDirectory();
  const file = `${directory.path}/node.json.gz`;
  const context = { out() {}, err() {}, signal: AbortSignal.timeout(10_000), onHangUp() {} };
  assert.equal(await command.run(["--namespace", host.namespace, "-o", file], context), 0);
  assert.equal(parseSnapshot(gunzipSync(readFileSync(file)).toString(), file).name, host.namespace);
});

test("namespaces without a name are found by their processes, and each by those that its links lead to", async () => {
  const sleeper = spawn("unshare", ["--net", "sleep", "60"], { stdio: "ignore" });
  try {
    for (const end = Date.now() + 5000; namespaceId(`/proc/${sleeper.pid}/ns/net`) === namespaceId(); ) {
      assert.ok(Date.now() < end);
      await sleep(10);
    }
    host.exec("ip", ["link", "add", "veth0", "type", "veth", "peer", "name", "eth0", "netns", String(sleeper.pid)]);
    const taken = await captureSurroundings(host.namespace);
    const names = taken.places?.map(({ name }) => name) ?? [];
    assert.deepEqual(names.toSorted(), [`/proc/${sleeper.pid}/ns/net`, other.namespace].toSorted());
    for (const { identity } of taken.namespaces ?? []) {
      assert.ok(taken.places?.some((place) => place.identity === identity));
    }
    const written = formatSnapshot(taken);
    assert.equal(formatSnapshot(parseSnapshot(written, "file")), written);
  } finally {
    // The pair of links goes with the namespace.
    sleeper.kill("SIGKILL");
  }
});

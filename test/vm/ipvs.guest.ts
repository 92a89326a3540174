/** IPVS and the ipvs mode on a kernel that has them; runs in a virtual machine. `ipvsadm`, `ipset` and `iptables` judge. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ServiceKey, serviceFlag } from "../../src/kernel/ipvs/index.ts";
import { readSysctl } from "../../src/kernel/sysctl.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { ipvs as factory } from "../../src/proxy/modes/ipvs/index.ts";
import { defaultIpvsSettings } from "../../src/service/settings.ts";
import { goldenDesired } from "../golden/iptables/objects.ts";
import {
  change,
  desiredOf,
  dnsOf,
  drainEvery,
  first,
  ipvs,
  lines,
  makeMode,
  mode,
  run,
  second,
  serviceOf,
  signal,
  tryConnect,
  until,
  vip,
  web,
  weights,
} from "./ipvs-node.ts";

test("IPVS: the program ipvsadm shows virtual services of every scheduler as they were made", () => {
  const schedulers = ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf"];
  for (const [i, scheduler] of schedulers.entries()) {
    ipvs.putService({ key: { ...web, port: 1000 + i }, scheduler, flags: 0, timeout: 0, netmask: 32 });
  }
  const key = { kind: "address", address: parseAddress("fd00::1"), protocol: "SCTP", port: 7 } as const;
  ipvs.putService({ key, scheduler: "rr", flags: serviceFlag.persistent, timeout: 100, netmask: 64 });
  const destination = { address: parseAddress("fd00::2"), port: 70, forwarding: "masquerade", weight: 3 } as const;
  ipvs.putDestination(key, destination);
  ipvs.putDestination(key, { ...destination, weight: 4 });
  const mark = { kind: "mark", family: "IPv4", mark: 5 } as const;
  ipvs.putService({ key: mark, scheduler: "wlc", flags: 0, timeout: 0, netmask: 32 });
  const shown = lines("ipvsadm", "-Sn");
  for (const [i, scheduler] of schedulers.entries()) {
    assert.ok(shown.includes(`-A -t 10.96.0.10:${1000 + i} -s ${scheduler}`), scheduler);
  }
  assert.ok(shown.includes("-A -f 5 -s wlc"));
  assert.ok(
    shown.some((line) => line.startsWith("-A --sctp-service [fd00::1]:7 -s rr -p 100 -M 64")),
    String(shown),
  );
  assert.ok(shown.includes("-a --sctp-service [fd00::1]:7 -r [fd00::2]:70 -m -w 4"), String(shown));
  assert.equal(ipvs.services().length, schedulers.length + 2);
  assert.deepEqual(ipvs.service(mark), { key: mark, scheduler: "wlc", flags: 2, timeout: 0, netmask: 32 });
  assert.deepEqual(ipvs.destinations(key), [{ ...destination, weight: 4, active: 0, inactive: 0, persistent: 0 }]);
  assert.equal(ipvs.deleteDestination(key, destination), true);
  assert.equal(ipvs.deleteDestination(key, destination), false);
  assert.equal(ipvs.deleteService(key), true);
  assert.equal(ipvs.deleteService(key), false);
  assert.equal(ipvs.service(key), undefined);
  for (const service of ipvs.services()) ipvs.deleteService(service.key);
});

test("IPVS: timeouts are set one by one", () => {
  const before = ipvs.timeouts;
  ipvs.setTimeouts({ tcp: 1234, tcpFin: 0, udp: 77 });
  assert.deepEqual(ipvs.timeouts, { ...before, tcp: 1234, udp: 77 });
  ipvs.setTimeouts(before);
});

test("ipvs mode: a fixed set of objects gives what the golden files say", async () => {
  await mode.replace(goldenDesired(), signal);
  assert.deepEqual(await mode.audit(signal), []);
  const found = {
    ipvsadm: lines("ipvsadm", "-Sn").toSorted(),
    ipset: lines("ipset", "save").toSorted(),
    iptables: lines("iptables-legacy-save").map(withoutCounters),
    ip6tables: lines("ip6tables-legacy-save").map(withoutCounters),
    addresses: lines("ip", "-o", "addr", "show", "dev", "kube-ipvs0")
      .map((line) => /inet6? (\S+)/.exec(line)?.[1] ?? line)
      .filter((address) => !address.startsWith("fe80"))
      .toSorted(),
  };
  for (const [name, content] of Object.entries(found)) {
    const golden = readFileSync(new URL(`../golden/ipvs/${name}.txt`, import.meta.url), "utf8");
    assert.equal(content.join("\n"), golden.trimEnd(), name);
  }
});

function withoutCounters(line: string): string {
  return line.replace(/ \[\d+:\d+\]$/, "");
}

test("ipvs mode: a change sends what changed; an endpoint that goes waits, and comes back", async () => {
  await mode.replace(desiredOf(serviceOf([first, second])), signal);
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 1 });
  await change(serviceOf([first]));
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 0 });
  assert.deepEqual(await mode.audit(signal), [], "what waits is no drift");
  await change(serviceOf([first, second]));
  await sleep(4 * drainEvery);
  assert.deepEqual(weights(), { "192.168.0.2": 1, "192.168.0.3": 1 }, "it is not removed afterwards");
  await change(serviceOf([first]));
  await until(() => !("192.168.0.3" in weights()), "removed without connections");
});

test("ipvs mode: the last endpoint takes the virtual service with it, and connections are refused", async () => {
  await mode.replace(desiredOf(serviceOf([first])), signal);
  await change(serviceOf([]));
  assert.deepEqual(weights(), { "192.168.0.2": 0 });
  assert.equal(await tryConnect(), "ECONNREFUSED");
  await until(() => ipvs.service(web) === undefined, "removed");
  assert.equal(await tryConnect(), "ECONNREFUSED");
  assert.deepEqual(await mode.audit(signal), []);
});

test("ipvs mode: a connection keeps its endpoint, over a restart too, and its end frees it", async () => {
  await mode.replace(desiredOf(serviceOf([first])), signal);
  const client = connect(80, vip);
  await once(client, "data");
  await change(serviceOf([]));
  const next = await makeMode();
  try {
    await next.replace(desiredOf(serviceOf([])), signal);
    await sleep(4 * drainEvery);
    assert.deepEqual(weights(), { "192.168.0.2": 0 }, "it waits");
    client.write("still here");
    assert.equal(String((await once(client, "data"))[0]), "still here");
    client.resetAndDestroy();
    // The kernel remembers a connection that was reset for 10 seconds.
    await until(() => ipvs.service(web) === undefined, "gone", 15_000);
  } finally {
    next.close();
  }
});

test("ipvs mode: an endpoint of UDP goes at once", async () => {
  const key: ServiceKey = { ...web, protocol: "UDP", port: 53 };
  await mode.replace(desiredOf(dnsOf([first, second])), signal);
  assert.equal(ipvs.destinations(key).length, 2);
  await mode.apply(desiredOf(dnsOf([first])).decisions, signal);
  assert.deepEqual(
    ipvs.destinations(key).map(({ address }) => address),
    ["192.168.0.2"],
  );
  await mode.apply(desiredOf(dnsOf([])).decisions, signal);
  assert.equal(ipvs.service(key), undefined);
});

test("ipvs mode: what others break is found and mended", async () => {
  const desired = desiredOf(serviceOf([first]), dnsOf([first]));
  await mode.replace(desired, signal);
  const dns: ServiceKey = { ...web, protocol: "UDP", port: 53 };
  const faults: readonly (readonly [string, RegExp])[] = [
    ["ipvsadm -E -t 10.96.0.10:80 -s lc", /virtual service TCP 10.96.0.10:80: its settings were changed/],
    ["ipvsadm -d -u 10.96.0.10:53 -r 192.168.0.2:8080", /UDP 10.96.0.10:53: 1 destinations missing/],
    ["ipvsadm -A -t 10.96.0.10:81 -s rr", /virtual service TCP 10.96.0.10:81: not ours/],
    ["ipset del KUBE-CLUSTER-IP 10.96.0.10,tcp:80", /set KUBE-CLUSTER-IP: entry .* missing/],
    ["ipset add KUBE-6-CLUSTER-IP fd00::1,tcp:80", /set KUBE-6-CLUSTER-IP: entry .* not ours/],
    ["ip addr del 10.96.0.10/32 dev kube-ipvs0", /address 10.96.0.10: gone/],
    ["ip addr add 10.96.0.99/32 dev kube-ipvs0", /address 10.96.0.99: not ours/],
    ["iptables-legacy -t nat -F KUBE-SERVICES", /table nat: chain KUBE-SERVICES/],
    ["iptables-legacy -F INPUT", /table filter: chain INPUT: jump to KUBE-IPVS-FILTER missing/],
    ["sysctl -q net.ipv4.vs.conntrack=0", /sysctl net\/ipv4\/vs\/conntrack is 0, not 1/],
  ];
  for (const [command] of faults) run(command);
  const drifts = (await mode.audit(signal)).map(({ what }) => what);
  for (const [command, expected] of faults) {
    assert.ok(
      drifts.some((what) => expected.test(what)),
      `${command}: ${JSON.stringify(drifts)}`,
    );
  }
  await mode.replace(desired, signal);
  assert.deepEqual(await mode.audit(signal), []);
  assert.equal(ipvs.destinations(dns).length, 1);
  run("ipvsadm -D -t 10.96.0.10:80");
  run("ip link del kube-ipvs0");
  const gone = (await mode.audit(signal)).map(({ what }) => what);
  assert.deepEqual(gone, ["IPv4 address 10.96.0.10: gone", "IPv4 virtual service TCP 10.96.0.10:80: gone"]);
  await mode.replace(desired, signal);
  assert.deepEqual(await mode.audit(signal), []);
  assert.equal(await tryConnect(), "hello");
});

test("ipvs mode: settings reach the kernel; a scheduler that it lacks gives way to rr", async () => {
  const settings = { ...defaultIpvsSettings, scheduler: "lc", strictARP: true, tcpTimeout: 321, udpTimeout: 45 };
  const desired = desiredOf(serviceOf([first]));
  const before = ipvs.timeouts;
  await mode.replace({ ...desired, settings: { ...desired.settings, ipvs: settings } }, signal);
  assert.equal(ipvs.service(web)?.scheduler, "lc");
  assert.deepEqual(ipvs.timeouts, { ...before, tcp: 321, udp: 45 });
  assert.equal(readSysctl("net/ipv4/conf/all/arp_ignore"), "1");
  await change(serviceOf([first], { scheduler: "sed" }));
  assert.equal(ipvs.service(web)?.scheduler, "sed");
  await change(serviceOf([first], { scheduler: "nonsense" }));
  assert.equal(ipvs.service(web)?.scheduler, "rr");
  assert.deepEqual(await mode.audit(signal), []);
  await change(serviceOf([first], { affinitySeconds: 50 }));
  assert.deepEqual(ipvs.service(web), { key: web, scheduler: "mh", flags: 0x1 | 0x2 | 0x8, timeout: 50, netmask: 32 });
  ipvs.setTimeouts(before);
});

test("ipvs mode: every scheduler serves", async () => {
  await mode.replace(desiredOf(serviceOf([first])), signal);
  for (const scheduler of ["wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf", "rr"]) {
    await change(serviceOf([first], { scheduler }));
    assert.equal(ipvs.service(web)?.scheduler, scheduler);
    assert.equal(await tryConnect(), "hello", scheduler);
  }
});

test("ipvs mode: virtual services in excludeCIDRs are left alone, even on an address of kube-ipvs0", async () => {
  const desired = desiredOf(serviceOf([first]));
  const ipvsSettings = { ...defaultIpvsSettings, excludeCIDRs: [parsePrefix("10.96.0.96/28")] };
  const excluding = { ...desired, settings: { ...desired.settings, ipvs: ipvsSettings } };
  const keys = [parseAddress("10.96.0.99"), vip].map((address) => ({ ...web, address, port: 81 }));
  run("ip addr add 10.96.0.99/32 dev kube-ipvs0");
  for (const key of keys) ipvs.putService({ key, scheduler: "lc", flags: 0, timeout: 0, netmask: 32 });
  await mode.replace(excluding, signal);
  assert.deepEqual(
    keys.map((key) => ipvs.service(key)?.scheduler),
    ["lc", undefined],
  );
  assert.deepEqual(await mode.audit(signal), []);
  for (const key of keys) ipvs.deleteService(key);
});

test("ipvs mode: it says that it can run here", async () => {
  assert.deepEqual(await factory.probe(), { able: true });
});

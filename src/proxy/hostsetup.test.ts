import assert from "node:assert/strict";
import test from "node:test";
import { defaultConfiguration } from "./config/defaults.ts";
import { conntrackSettings } from "./hostsetup.ts";

const { conntrack } = defaultConfiguration;

test("by default the limit grows with the CPUs from its minimum, and two timeouts are set", () => {
  assert.deepEqual(conntrackSettings(conntrack, 2), [
    { name: "net/netfilter/nf_conntrack_max", value: 131072 },
    { name: "net/netfilter/nf_conntrack_tcp_timeout_established", value: 86400 },
    { name: "net/netfilter/nf_conntrack_tcp_timeout_close_wait", value: 3600 },
  ]);
  assert.equal(conntrackSettings(conntrack, 64)[0]?.value, 2097152);
});

test("what is zero is left alone", () => {
  const none = { ...conntrack, maxPerCore: 0, tcpEstablishedTimeout: 0, tcpCloseWaitTimeout: 0 };
  assert.deepEqual(conntrackSettings(none, 8), []);
  assert.deepEqual(conntrackSettings({ ...none, tcpBeLiberal: true, udpStreamTimeout: 90_500 }, 8), [
    { name: "net/netfilter/nf_conntrack_udp_timeout_stream", value: 90 },
    { name: "net/netfilter/nf_conntrack_tcp_be_liberal", value: 1 },
  ]);
});

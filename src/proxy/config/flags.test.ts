import assert from "node:assert/strict";
import test from "node:test";
import { formatFlags } from "../../config/flags.ts";
import { proxyFlags } from "./flags.ts";

/** The flags of kube-proxy as its documentation lists them, with their defaults. */
const upstream = `
bind-address=0.0.0.0 bind-address-hard-fail=false cleanup=false cluster-cidr= config= config-sync-period=15m0s
conntrack-max-per-core=32768 conntrack-min=131072 conntrack-tcp-be-liberal=false
conntrack-tcp-timeout-close-wait=1h0m0s conntrack-tcp-timeout-established=24h0m0s conntrack-udp-timeout=0s
conntrack-udp-timeout-stream=0s detect-local-mode=ClusterCIDR feature-gates= healthz-bind-address=0.0.0.0:10256
healthz-port=10256 help=false hostname-override= init-only=false iptables-localhost-nodeports=true
iptables-masquerade-bit=14 iptables-min-sync-period=1s iptables-sync-period=30s ipvs-exclude-cidrs=
ipvs-min-sync-period=1s ipvs-scheduler= ipvs-strict-arp=false ipvs-sync-period=30s ipvs-tcp-timeout=0s
ipvs-tcpfin-timeout=0s ipvs-udp-timeout=0s kube-api-burst=10
kube-api-content-type=application/vnd.kubernetes.protobuf kube-api-qps=5 kubeconfig= log-flush-frequency=5s
log-json-info-buffer-size=0 log-json-split-stream=false log-text-info-buffer-size=0 log-text-split-stream=false
logging-format=text masquerade-all=false master= metrics-bind-address=127.0.0.1:10249 metrics-port=10249
nodeport-addresses= oom-score-adj=-999 pod-bridge-interface= pod-interface-name-prefix= profiling=false proxy-mode=
proxy-port-range= show-hidden-metrics-for-version= v=0 version=false vmodule= write-config-to=
enable-dsr=false forward-healthcheck-vip=false network-name= root-hnsendpoint-name=cbr0 source-vip= windows-service=false
`;
const ours = ["explain-mode", "output", "keep-leftovers", "manifests", "once"];

test("the flags are kube-proxy's with its defaults, and some of our own", () => {
  const found = Object.entries(proxyFlags)
    .filter(([name]) => !ours.includes(name))
    .map(([name, flag]: [string, { readonly default: unknown; readonly format: (value: never) => string }]) => {
      return `${name}=${flag.format(flag.default as never)}`;
    });
  assert.deepEqual(found.sort(), upstream.trim().split(/\s+/).sort());
});

test("every flag has a help text", () => {
  const help = formatFlags(proxyFlags);
  for (const [name, flag] of Object.entries(proxyFlags)) {
    assert.ok(help.includes(`--${name}`));
    assert.match(flag.help, /^[A-Z/].*\.$/, name);
  }
});

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { parseFlags } from "../../config/flags.ts";
import { InvalidInputError } from "../../config/problems.ts";
import { defaultConfiguration } from "./defaults.ts";
import { proxyFlags } from "./flags.ts";
import { resolveOptions } from "./options.ts";
import { readConfiguration, writeConfiguration } from "./schema.ts";

const modes = ["nftables", "iptables", "ipvs"];
const header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

function resolve(args: string, file = "") {
  return resolveOptions(parseFlags(proxyFlags, args.split(" ").filter(Boolean)), () => header + file, modes);
}

/** As kubeadm writes it: everything there, most of it zero. */
const kubeadm = `
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
`;

test("without flags everything is at kube-proxy's defaults", () => {
  const { config, task, warnings } = resolve("");
  assert.deepEqual(config, {
    ...defaultConfiguration,
    healthzBindAddress: "0.0.0.0:10256",
    metricsBindAddress: "127.0.0.1:10249",
    ipvs: { ...defaultConfiguration.ipvs, minSyncPeriod: 1000 },
  });
  assert.equal(task, "serve");
  assert.deepEqual(warnings, []);
});

test("a file as kubeadm writes it is the defaults and what it says", () => {
  const config = readConfiguration(header + kubeadm, "config.conf");
  assert.deepEqual(config, {
    ...defaultConfiguration,
    healthzBindAddress: "0.0.0.0:10256",
    metricsBindAddress: "127.0.0.1:10249",
    clusterCIDR: "10.244.0.0/16",
    clientConnection: { ...defaultConfiguration.clientConnection, kubeconfig: "/var/lib/kube-proxy/kubeconfig.conf" },
  });
});

test("a configuration that was written is read back the same", () => {
  const { config } = resolve(
    "--proxy-mode=iptables --cluster-cidr=10.0.0.0/8,fd00::/8 --iptables-sync-period=90m --nodeport-addresses=primary,10.1.0.0/16 -v=3 --vmodule=runner=4 --conntrack-udp-timeout 2m30s --feature-gates=AllAlpha=true,NFTablesNetlink=false",
  );
  const written = JSON.stringify(writeConfiguration(config));
  assert.match(written, /"syncPeriod":"1h30m0s"/);
  assert.deepEqual(readConfiguration(written, "written"), config);
});

test("a file takes the place of flags, except for logging, the host name and what to do", () => {
  const file =
    "mode: iptables\nhostnameOverride: a\nlogging: {verbosity: 1, vmodule: [{filePattern: x, verbosity: 3}]}";
  const { config, task, warnings } = resolve(
    "--config=f --proxy-mode=nftables --masquerade-all --hostname-override=Node-B -v 5 --vmodule=y=1 --once",
    file,
  );
  assert.equal(config.mode, "iptables");
  assert.equal(config.iptables.masqueradeAll, false);
  assert.equal(config.hostnameOverride, "node-b");
  assert.equal(config.logging.verbosity, 5);
  assert.deepEqual(
    config.logging.vmodule.map(({ filePattern }) => filePattern),
    ["y", "x"],
  );
  assert.equal(task, "once");
  assert.deepEqual(warnings, ["ignored because of --config: --proxy-mode, --masquerade-all"]);
});

test("underscores in flags count as dashes, and deprecated flags warn", () => {
  const { config, warnings } = resolve("--proxy_mode=ipvs --ipvs-min-sync-period=0 --healthz-port=0 --metrics_port 9 ");
  assert.equal(config.mode, "ipvs");
  assert.equal(config.ipvs.minSyncPeriod, 0);
  assert.equal(config.healthzBindAddress, "");
  assert.equal(config.metricsBindAddress, "127.0.0.1:9");
  assert.deepEqual(warnings, [
    "flag --healthz-port is deprecated: use --healthz-bind-address",
    "flag --metrics-port is deprecated: use --metrics-bind-address",
  ]);
});

test("server addresses get the default port, and the family of the bind address", () => {
  assert.equal(resolve("--healthz-bind-address=127.0.0.1").config.healthzBindAddress, "127.0.0.1:10256");
  assert.equal(resolve("--bind-address=::").config.metricsBindAddress, "[::1]:10249");
  assert.equal(resolve("--metrics-bind-address=").config.metricsBindAddress, "");
  assert.equal(resolve("--config=f", "bindAddress: fd00::1").config.healthzBindAddress, "[::]:10256");
});

const wrongFiles: readonly [file: string, message: RegExp][] = [
  [
    "nftables: {masqueradeBitt: 3}",
    /KubeProxyConfiguration\.nftables\.masqueradeBitt: unknown field, did you mean masqueradeBit\?/,
  ],
  ["nftables: {masqueradeBit: x}", /nftables\.masqueradeBit: Invalid type: "x": must be a whole number of 32 bits/],
  ["nftables: {masqueradeBit: 40}", /nftables\.masqueradeBit: Invalid value: 40: must be within the range \[0, 31\]/],
  [
    "iptables: {syncPeriod: 1s, minSyncPeriod: 2s}",
    /iptables\.syncPeriod: Invalid value: "1s": must be greater than or equal to KubeProxyConfiguration\.iptables\.minSyncPeriod/,
  ],
  ["iptables: {syncPeriod: -1s}", /iptables\.syncPeriod: Invalid value: "-1s": must be greater than 0/],
  ["configSyncPeriod: 5", /configSyncPeriod: Invalid type: 5: must be a duration such as 30s/],
  [
    "mode: userspaces",
    /mode: Invalid value: "userspaces": must be nftables, iptables, ipvs or blank \(blank means the best-available proxy \[currently nftables\]\)/,
  ],
  [
    "mode: ipvs\nfeatureGates: {KubeProxyIPVS: false}",
    /mode: Invalid value: "ipvs": must be nftables, iptables or blank/,
  ],
  ["featureGates: {NoSuch: true}", /featureGates: Invalid value: .*unrecognized feature gate: NoSuch/],
  [
    "featureGates: {LoadBalancerIPMode: false}",
    /cannot set feature gate LoadBalancerIPMode to false, feature is locked to true/,
  ],
  ["oomScoreAdj: -1001", /oomScoreAdj: Invalid value: -1001: must be within the range \[-1000, 1000\]/],
  ["bindAddress: node1", /bindAddress: Invalid value: "node1": must be a valid IP address/],
  ["healthzBindAddress: 1.2.3.4:0", /healthzBindAddress: Invalid value: "1.2.3.4:0": must be IP:port/],
  ["metricsBindAddress: host:10249", /metricsBindAddress: Invalid value: "host": must be a valid IP/],
  [
    "nodePortAddresses: [primary, 10.0.0.1]",
    /nodePortAddresses\[1\]: Invalid value: "10.0.0.1": must be a valid CIDR or one of/,
  ],
  ["nodePortAddresses: primary", /nodePortAddresses: Invalid type: "primary": must be a list/],
  [
    "detectLocalMode: Bridge",
    /detectLocalMode: Invalid value: "Bridge": must be ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix or blank/,
  ],
  ["detectLocalMode: BridgeInterface", /detectLocal\.bridgeInterface: Invalid value: "": must not be empty/],
  [
    "clusterCIDR: 10.0.0.0/8,10.1.0.0/16",
    /clusterCIDR: Invalid value: "10.0.0.0\/8,10.1.0.0\/16": must be a valid CIDR, or a pair/,
  ],
  ["conntrack: {maxPerCore: -1}", /conntrack\.maxPerCore: Invalid value: -1: must be greater than or equal to 0/],
  ["mode: ipvs\nipvs: {udpTimeout: -1s, excludeCIDRs: [x]}", /ipvs\.udpTimeout: .*\n.*ipvs\.excludeCIDRs\[0\]: /],
  ["portRange: 9-3", /portRange: Invalid value: "9-3": must be a valid port range/],
  ["logging: {format: xml}", /logging\.format: Invalid value: "xml": must be text or json/],
  [
    "logging: {options: {json: {splitStream: true}}}",
    /logging\.options\.json\.splitStream: Invalid value: true: feature LoggingAlphaOptions is disabled/,
  ],
  ["mode: iptables\nmode: nftables", /f: Map keys must be unique at line 4, column 1/],
  ["mode: [", /f: .* at line \d+, column \d+/],
  ["- a", /f: /],
  ["---\nmode: iptables", /f: .*multiple documents/],
];

for (const [file, message] of wrongFiles) {
  test(`a file with ${JSON.stringify(file)} is refused`, () => {
    assert.throws(() => resolve("--config=f", file), message);
  });
}

test("a file of another kind is refused", () => {
  assert.throws(
    () => readConfiguration("kind: ConfigMap\napiVersion: v1\n", "f"),
    /f: has apiVersion "v1", kind "ConfigMap": must be/,
  );
  assert.throws(() => readConfiguration("just text", "f"), /is not an object/);
  assert.throws(() => readConfiguration("", "f"), /is not an object/);
  assert.throws(() => readConfiguration(`a: "${"x".repeat(1 << 20)}"`, "f"), /more than 1048576 are not read/);
  assert.throws(
    () => readConfiguration("a: &a [1,1]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]", "f"),
    /f: /,
  );
});

test("all violations are reported at once", () => {
  const message = /f:\n {2}\S+oomScoreAdj.*\n {2}\S+bindAddress.*$/;
  assert.throws(() => resolve("--config=f", "oomScoreAdj: 5000\nbindAddress: x"), message);
});

test("wrong command lines are refused", () => {
  assert.throws(() => resolve("start"), /command line: takes no arguments but flags, got "start"/);
  assert.throws(() => resolve("--proxymode=x"), /unknown flag --proxymode, did you mean --proxy-mode\?/);
  assert.throws(
    () => resolve("--conntrack-min=many"),
    /invalid argument "many" for --conntrack-min: must be of the form int/,
  );
  assert.throws(() => resolve("--config"), /--config needs an argument/);
  assert.throws(() => resolve("--vmodule=x"), /--vmodule: "x" is not like file=level/);
  assert.throws(() => resolve("--iptables-masquerade-bit=32"), /iptables\.masqueradeBit: Invalid value: 32/);
});

test("whatever a file contains, it is read or refused with reasons", () => {
  const { config } = resolve("");
  const names = Object.keys(writeConfiguration(config));
  const documents = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), fc.jsonValue());
  const texts = fc.oneof(
    fc.string(),
    fc.string().map((text) => header + text),
    documents.map((document) => header + JSON.stringify(document).slice(1, -1)),
    documents.map((document) => JSON.stringify({ ...writeConfiguration(config), ...document })),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        resolveOptions(parseFlags(proxyFlags, ["--config=f"]), () => text, modes);
      } catch (error) {
        assert.ok(error instanceof InvalidInputError && error.problems.length > 0, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

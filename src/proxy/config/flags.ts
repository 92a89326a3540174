/** The flags of the service proxy: those of kube-proxy with its defaults, and a few of our own. */
import {
  durationFlag,
  type FlagValues,
  floatFlag,
  intFlag,
  stringFlag,
  stringsFlag,
  switchesFlag,
  switchFlag,
} from "../../config/flags.ts";
import { defaultConfiguration as defaults } from "./defaults.ts";

const ignored = "Ignored with --config.";
const windows = "Windows only; accepted and without effect here.";
const period = "How often the kernel's state is compared with what it should be, and mended.";
const minimum =
  "The least time between two changes of the kernel. The first change is always made at once; 0: every change is.";

/** Flags that log lines of Kubernetes components are controlled with; these go before the configuration file. */
export const loggingFlags = {
  v: intFlag(0, {
    shorthand: "v",
    help: "Verbosity of log lines: 0 the essential, 2 steady state, 4 debugging, 10 all.",
  }),
  vmodule: stringsFlag([], { help: "Verbosity for single source files, e.g. runner=4,nft*=2. Text format only." }),
  "logging-format": stringFlag("text", { help: "Format of log lines: text or json." }),
  "log-flush-frequency": durationFlag(5000, { help: "Accepted for compatibility; lines are written at once." }),
  "log-text-split-stream": switchFlag(false, {
    help: "Text format: errors to standard error, the rest to standard output. Needs feature gate LoggingAlphaOptions.",
  }),
  "log-text-info-buffer-size": stringFlag("0", {
    help: "Accepted for compatibility; lines are written at once. Needs feature gate LoggingAlphaOptions.",
  }),
  "log-json-split-stream": switchFlag(false, {
    help: "JSON format: errors to standard error, the rest to standard output. Needs feature gate LoggingAlphaOptions.",
  }),
  "log-json-info-buffer-size": stringFlag("0", {
    help: "Accepted for compatibility; lines are written at once. Needs feature gate LoggingAlphaOptions.",
  }),
};

/** Flags of kube-proxy that the configuration file takes the place of. */
export const configurationFlags = {
  "feature-gates": switchesFlag({ help: `Features to turn on or off. ${ignored}` }),
  kubeconfig: stringFlag("", { help: `Path of the kubeconfig file. Empty: the pod's service account. ${ignored}` }),
  "kube-api-content-type": stringFlag(defaults.clientConnection.contentType, {
    help: `Accepted for compatibility; requests are JSON. ${ignored}`,
  }),
  "kube-api-qps": floatFlag(defaults.clientConnection.qps, { help: `Requests to the API per second. ${ignored}` }),
  "kube-api-burst": intFlag(defaults.clientConnection.burst, {
    help: `Requests to the API that may be made at once. ${ignored}`,
  }),
  "bind-address": stringFlag(defaults.bindAddress, {
    help: `What to take for the node's primary address if it is not 0.0.0.0 or ::. Nothing binds to it. ${ignored}`,
  }),
  "healthz-bind-address": stringFlag("0.0.0.0:10256", {
    help: `Address and port of the health server; [::]:10256 if --bind-address is IPv6. Empty: no server. ${ignored}`,
  }),
  "metrics-bind-address": stringFlag("127.0.0.1:10249", {
    help: `Address and port of the metrics server; [::1]:10249 if --bind-address is IPv6. Empty: no server. ${ignored}`,
  }),
  "bind-address-hard-fail": switchFlag(false, {
    help: `Stop if a port of the two servers cannot be had, instead of trying again every 5 seconds. ${ignored}`,
  }),
  profiling: switchFlag(false, { help: `Serve /debug/ pages on the metrics server. ${ignored}` }),
  "show-hidden-metrics-for-version": stringFlag("", {
    help: `Accepted for compatibility; nothing is hidden. ${ignored}`,
  }),
  "proxy-mode": stringFlag("", {
    help: `How packets get to services: nftables, iptables... Empty: the best that this kernel can do. ${ignored}`,
  }),
  "iptables-masquerade-bit": intFlag(defaults.iptables.masqueradeBit, {
    help: `The bit of the packet mark, 0 to 31, that asks for masquerading in the modes iptables and ipvs. ${ignored}`,
  }),
  "masquerade-all": switchFlag(false, { help: `Masquerade all traffic to cluster IPs. ${ignored}` }),
  "iptables-localhost-nodeports": switchFlag(true, {
    help: `Let node ports answer on 127.0.0.0/8 (mode iptables, IPv4). ${ignored}`,
  }),
  "iptables-sync-period": durationFlag(defaults.iptables.syncPeriod, {
    help: `${period} For all modes but ipvs. ${ignored}`,
  }),
  "iptables-min-sync-period": durationFlag(defaults.iptables.minSyncPeriod, {
    help: `${minimum} For all modes but ipvs; where it is not given, mode nftables takes 0. ${ignored}`,
  }),
  "ipvs-sync-period": durationFlag(defaults.ipvs.syncPeriod, { help: `${period} For mode ipvs. ${ignored}` }),
  "ipvs-min-sync-period": durationFlag(1000, { help: `${minimum} For mode ipvs. ${ignored}` }),
  "ipvs-scheduler": stringFlag("", { help: `The scheduler of mode ipvs. Empty: rr. ${ignored}` }),
  "ipvs-exclude-cidrs": stringsFlag([], {
    help: `Virtual servers in these prefixes are left alone by mode ipvs. ${ignored}`,
  }),
  "ipvs-strict-arp": switchFlag(false, { help: `Set arp_ignore to 1 and arp_announce to 2 (mode ipvs). ${ignored}` }),
  "ipvs-tcp-timeout": durationFlag(0, {
    help: `Timeout of idle TCP connections in mode ipvs; 0: as it is. ${ignored}`,
  }),
  "ipvs-tcpfin-timeout": durationFlag(0, { help: `Timeout of TCP after a FIN in mode ipvs; 0: as it is. ${ignored}` }),
  "ipvs-udp-timeout": durationFlag(0, { help: `Timeout of UDP in mode ipvs; 0: as it is. ${ignored}` }),
  "detect-local-mode": stringFlag(defaults.detectLocalMode, {
    help: `How pods are told from others: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix. ${ignored}`,
  }),
  "pod-bridge-interface": stringFlag("", { help: `The bridge of --detect-local-mode=BridgeInterface. ${ignored}` }),
  "pod-interface-name-prefix": stringFlag("", {
    help: `How names of pod interfaces begin, for --detect-local-mode=InterfaceNamePrefix. ${ignored}`,
  }),
  "cluster-cidr": stringFlag("", {
    help: `The range of pod addresses, or one of each family with a comma between, for --detect-local-mode=ClusterCIDR. ${ignored}`,
  }),
  "nodeport-addresses": stringsFlag([], {
    help: `Node ports answer on the node's addresses in these prefixes; primary, localhost and all are prefixes too. Empty: primary in mode nftables, else all. ${ignored}`,
  }),
  "oom-score-adj": intFlag(defaults.oomScoreAdj, {
    help: `How readily the kernel ends this process when memory is short, -1000 to 1000. ${ignored}`,
  }),
  "conntrack-max-per-core": intFlag(defaults.conntrack.maxPerCore, {
    help: `Connections to track for each CPU; 0: leave the limit alone. ${ignored}`,
  }),
  "conntrack-min": intFlag(defaults.conntrack.min, { help: `Connections to track at least. ${ignored}` }),
  "conntrack-tcp-timeout-established": durationFlag(defaults.conntrack.tcpEstablishedTimeout, {
    help: `Timeout of idle established TCP connections; 0: as it is. ${ignored}`,
  }),
  "conntrack-tcp-timeout-close-wait": durationFlag(defaults.conntrack.tcpCloseWaitTimeout, {
    help: `Timeout of TCP connections in CLOSE_WAIT; 0: as it is. ${ignored}`,
  }),
  "conntrack-tcp-be-liberal": switchFlag(false, { help: `Set nf_conntrack_tcp_be_liberal to 1. ${ignored}` }),
  "conntrack-udp-timeout": durationFlag(0, { help: `Timeout of UDP without a reply; 0: as it is. ${ignored}` }),
  "conntrack-udp-timeout-stream": durationFlag(0, { help: `Timeout of UDP with replies; 0: as it is. ${ignored}` }),
  "config-sync-period": durationFlag(defaults.configSyncPeriod, {
    help: `Accepted for compatibility; objects are followed all the time. ${ignored}`,
  }),
  "healthz-port": intFlag(10256, {
    help: `Port of the health server; 0: none.`,
    deprecated: "use --healthz-bind-address",
  }),
  "metrics-port": intFlag(10249, {
    help: `Port of the metrics server; 0: none.`,
    deprecated: "use --metrics-bind-address",
  }),
  "proxy-port-range": stringFlag("", { help: "Without effect.", deprecated: "it has no effect" }),
  "windows-service": switchFlag(false, { help: windows }),
  "source-vip": stringFlag("", { help: windows }),
  "network-name": stringFlag("", { help: windows }),
  "enable-dsr": switchFlag(false, { help: windows }),
  "root-hnsendpoint-name": stringFlag("cbr0", { help: windows }),
  "forward-healthcheck-vip": switchFlag(false, { help: windows }),
};

/** Flags that say what to do; no configuration file has them. */
export const programFlags = {
  config: stringFlag("", {
    help: "Path of a KubeProxyConfiguration, YAML or JSON. It is watched: a changed one is taken over, a wrong one refused.",
  }),
  "write-config-to": stringFlag("", { help: "Write the effective configuration to this file, and end." }),
  cleanup: switchFlag(false, {
    help: "Remove from the kernel what any mode of this program or kube-proxy left, and end.",
  }),
  "explain-mode": switchFlag(false, {
    help: "Print which modes this machine can run, what is missing for the others and which one would be used, and end.",
  }),
  output: stringFlag("text", { shorthand: "o", help: "Format of --explain-mode: text or json." }, "format"),
  "init-only": switchFlag(false, {
    help: "Do only what needs full privileges (sysctls, those of the mode too), and end; then run with CAP_NET_ADMIN alone.",
  }),
  master: stringFlag("", { help: "URL of the API server, instead of the one in the kubeconfig file." }),
  "hostname-override": stringFlag("", {
    help: "Name of this node. Empty: what the configuration says, else the host name.",
  }),
  manifests: stringFlag(
    "",
    {
      help: "Take Services and EndpointSlices from the YAML and JSON files of this directory, which is watched, instead of from an API server.",
    },
    "directory",
  ),
  once: switchFlag(false, { help: "Program the kernel once, and end." }),
  "keep-leftovers": switchFlag(false, { help: "Do not remove what kube-proxy or another mode left in the kernel." }),
  version: switchFlag(false, { help: "Print the version, and end." }),
  help: switchFlag(false, { shorthand: "h", help: "Print this help, and end." }),
};

/** All flags of the service proxy. */
export const proxyFlags = { ...programFlags, ...configurationFlags, ...loggingFlags };

/** The values of all flags. */
export type ProxyFlagValues = FlagValues<typeof proxyFlags>;

/** The name of a flag of the service proxy. */
export type ProxyFlagName = keyof typeof proxyFlags;

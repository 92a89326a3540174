/** The defaults of KubeProxyConfiguration, and those that follow from other fields. */
import { formatHostPort, tryParseHostPort } from "../../net/protocol.ts";
import { parseSloppyAddress } from "./sloppy.ts";
import type { KubeProxyConfiguration } from "./types.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

/** Ports of the health and the metrics server where an address without a port is given. */
export const defaultPorts = { healthz: 10256, metrics: 10249 } as const;

/**
 * Everything at its default, as kube-proxy has it, with two exceptions, both because of how this program works.
 *
 * `mode` is the best that the kernel can do, nftables first, where kube-proxy still takes iptables. And
 * `nftables.minSyncPeriod` is 0 instead of 1s: that second exists to put changes together because each of them costs
 * kube-proxy a great deal; here a change costs microseconds, whatever comes while one is applied goes together into the
 * next, and so nobody has to wait.
 */
export const defaultConfiguration: KubeProxyConfiguration = {
  featureGates: {},
  clientConnection: {
    kubeconfig: "",
    acceptContentTypes: "",
    contentType: "application/vnd.kubernetes.protobuf",
    qps: 5,
    burst: 10,
  },
  logging: {
    format: "text",
    flushFrequency: 5 * second,
    verbosity: 0,
    vmodule: [],
    options: { text: { splitStream: false, infoBufferSize: 0 }, json: { splitStream: false, infoBufferSize: 0 } },
  },
  hostnameOverride: "",
  bindAddress: "0.0.0.0",
  healthzBindAddress: "",
  metricsBindAddress: "",
  bindAddressHardFail: false,
  enableProfiling: false,
  showHiddenMetricsForVersion: "",
  mode: "",
  iptables: {
    masqueradeBit: 14,
    masqueradeAll: false,
    localhostNodePorts: true,
    syncPeriod: 30 * second,
    minSyncPeriod: second,
  },
  ipvs: {
    syncPeriod: 30 * second,
    minSyncPeriod: 0,
    scheduler: "",
    excludeCIDRs: [],
    strictARP: false,
    tcpTimeout: 0,
    tcpFinTimeout: 0,
    udpTimeout: 0,
  },
  nftables: { masqueradeBit: 14, masqueradeAll: false, syncPeriod: 30 * second, minSyncPeriod: 0 },
  winkernel: {
    networkName: "",
    sourceVip: "",
    enableDSR: false,
    rootHnsEndpointName: "",
    forwardHealthCheckVip: false,
  },
  detectLocalMode: "ClusterCIDR",
  detectLocal: { bridgeInterface: "", interfaceNamePrefix: "" },
  clusterCIDR: "",
  nodePortAddresses: [],
  oomScoreAdj: -999,
  conntrack: {
    maxPerCore: 32 * 1024,
    min: 128 * 1024,
    tcpEstablishedTimeout: 24 * hour,
    tcpCloseWaitTimeout: hour,
    tcpBeLiberal: false,
    udpTimeout: 0,
    udpStreamTimeout: 0,
  },
  configSyncPeriod: 15 * minute,
  portRange: "",
  windowsRunAsService: false,
};

/** The addresses of the two servers for a bind address: IPv6 if that is. */
export function defaultServerAddresses(bindAddress: string): { readonly healthz: string; readonly metrics: string } {
  const six = parseSloppyAddress(bindAddress)?.includes(":") ?? false;
  return {
    healthz: formatHostPort(six ? "::" : "0.0.0.0", defaultPorts.healthz),
    metrics: formatHostPort(six ? "::1" : "127.0.0.1", defaultPorts.metrics),
  };
}

/** `address` with a port: itself if it has one, else the default; anything that is no address stays as it is. */
export function withPort(address: string, port: number): string {
  if (tryParseHostPort(address) !== undefined) return address;
  const bare = parseSloppyAddress(address.replace(/^\[(.*)\]$/, "$1"));
  return bare === undefined ? address : formatHostPort(bare, port);
}

/** Fills in what was left empty in a file and follows from other fields. */
export function complete(config: KubeProxyConfiguration): KubeProxyConfiguration {
  const addresses = defaultServerAddresses(config.bindAddress);
  return {
    ...config,
    healthzBindAddress: withPort(config.healthzBindAddress || addresses.healthz, defaultPorts.healthz),
    metricsBindAddress: withPort(config.metricsBindAddress || addresses.metrics, defaultPorts.metrics),
  };
}

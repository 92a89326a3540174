/** How KubeProxyConfiguration is read from and written to a file. */
import {
  boolean,
  byteSize,
  type Codec,
  duration,
  durationOrNanoseconds,
  float,
  int32,
  isObject,
  list,
  object,
  record,
  string,
  zeroIsDefault,
} from "../../config/codec.ts";
import { parseConfigDocument } from "../../config/document.ts";
import { InvalidInputError } from "../../config/problems.ts";
import { complete, defaultConfiguration } from "./defaults.ts";
import type { KubeProxyConfiguration } from "./types.ts";

/** The apiVersion of the file. */
export const apiVersion = "kubeproxy.config.k8s.io/v1alpha1";

/** The kind of the file, and how paths in messages begin. */
export const configurationKind = "KubeProxyConfiguration";

const period = zeroIsDefault(duration);
const strings = list(string, "");
const routing = object({ splitStream: boolean, infoBufferSize: byteSize });
const sync = { syncPeriod: period, minSyncPeriod: period };

const configuration: Codec<KubeProxyConfiguration> = object<KubeProxyConfiguration>({
  featureGates: record(boolean, false),
  clientConnection: object({
    kubeconfig: string,
    acceptContentTypes: string,
    contentType: zeroIsDefault(string),
    qps: zeroIsDefault(float),
    burst: zeroIsDefault(int32),
  }),
  logging: object({
    format: zeroIsDefault(string),
    flushFrequency: zeroIsDefault(durationOrNanoseconds),
    verbosity: int32,
    vmodule: list(object({ filePattern: string, verbosity: int32 }), { filePattern: "", verbosity: 0 }),
    options: object({ text: routing, json: routing }),
  }),
  hostnameOverride: string,
  bindAddress: zeroIsDefault(string),
  healthzBindAddress: string,
  metricsBindAddress: string,
  bindAddressHardFail: boolean,
  enableProfiling: boolean,
  showHiddenMetricsForVersion: string,
  mode: string,
  iptables: object({ ...sync, masqueradeBit: int32, masqueradeAll: boolean, localhostNodePorts: boolean }),
  ipvs: object({
    ...sync,
    scheduler: string,
    excludeCIDRs: strings,
    strictARP: boolean,
    tcpTimeout: duration,
    tcpFinTimeout: duration,
    udpTimeout: duration,
  }),
  nftables: object({ ...sync, masqueradeBit: int32, masqueradeAll: boolean }),
  winkernel: object({
    networkName: string,
    sourceVip: string,
    enableDSR: boolean,
    rootHnsEndpointName: string,
    forwardHealthCheckVip: boolean,
  }),
  detectLocalMode: zeroIsDefault(string),
  detectLocal: object({ bridgeInterface: string, interfaceNamePrefix: string }),
  clusterCIDR: string,
  nodePortAddresses: strings,
  oomScoreAdj: int32,
  conntrack: object({
    maxPerCore: int32,
    min: int32,
    tcpEstablishedTimeout: duration,
    tcpCloseWaitTimeout: duration,
    tcpBeLiberal: boolean,
    udpTimeout: duration,
    udpStreamTimeout: duration,
  }),
  configSyncPeriod: period,
  portRange: string,
  windowsRunAsService: boolean,
});

/**
 * Reads a configuration from the text of a file, YAML or JSON.
 *
 * @param what names the file in errors.
 * @throws {InvalidInputError} with everything that is not of the right form; values are checked by `validate`.
 */
export function readConfiguration(text: string, what: string): KubeProxyConfiguration {
  const document = parseConfigDocument(text, what);
  if (!isObject(document)) throw new InvalidInputError(what, ["is not an object of kind KubeProxyConfiguration"]);
  const { apiVersion: version, kind, ...fields } = document;
  if (version !== apiVersion || kind !== configurationKind) {
    const found = `apiVersion ${JSON.stringify(version ?? "")}, kind ${JSON.stringify(kind ?? "")}`;
    throw new InvalidInputError(what, [`has ${found}: must be ${apiVersion}, ${configurationKind}`]);
  }
  const problems: string[] = [];
  const config = configuration.decode(fields, defaultConfiguration, configurationKind, problems);
  if (problems.length > 0) throw new InvalidInputError(what, problems);
  return complete(config);
}

/** The configuration as plain values, ready for YAML or JSON. */
export function writeConfiguration(config: KubeProxyConfiguration): Readonly<Record<string, unknown>> {
  const fields = configuration.encode(config);
  return { apiVersion, kind: configurationKind, ...(isObject(fields) ? fields : {}) };
}

/**
 * KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1, complete with defaults. Field names are those of the file;
 * durations are milliseconds; where the file may leave a field out, the default stands here instead.
 */

/** The whole configuration. */
export interface KubeProxyConfiguration {
  readonly featureGates: Readonly<Record<string, boolean>>;
  readonly clientConnection: ClientConnection;
  readonly logging: Logging;
  /** Name of this node; empty: the host name, in lower case. */
  readonly hostnameOverride: string;
  /** What this node's primary address is taken for if it is not 0.0.0.0 or ::; nothing binds to it. */
  readonly bindAddress: string;
  /** `address:port` of the health server; empty: none. */
  readonly healthzBindAddress: string;
  /** `address:port` of the metrics server; empty: none. */
  readonly metricsBindAddress: string;
  /** True: a port of the two servers that cannot be had is fatal. */
  readonly bindAddressHardFail: boolean;
  readonly enableProfiling: boolean;
  readonly showHiddenMetricsForVersion: string;
  /** Empty: the best mode that this kernel can do. */
  readonly mode: string;
  readonly iptables: IptablesConfiguration;
  readonly ipvs: IpvsConfiguration;
  readonly nftables: NftablesConfiguration;
  readonly winkernel: WinkernelConfiguration;
  readonly detectLocalMode: string;
  readonly detectLocal: DetectLocal;
  /** One prefix, or two of different families with a comma between. */
  readonly clusterCIDR: string;
  /** Prefixes and the words `primary`, `localhost`, `all`; empty: what the mode says. */
  readonly nodePortAddresses: readonly string[];
  readonly oomScoreAdj: number;
  readonly conntrack: ConntrackConfiguration;
  /** Accepted for compatibility; objects are followed all the time. */
  readonly configSyncPeriod: number;
  /** Without use since the userspace mode went away upstream. */
  readonly portRange: string;
  /** Windows only. */
  readonly windowsRunAsService: boolean;
}

/** How to reach the API server. */
export interface ClientConnection {
  /** Path of a kubeconfig file; empty: the service account of the pod. */
  readonly kubeconfig: string;
  readonly acceptContentTypes: string;
  /** Accepted for compatibility; this program speaks JSON. */
  readonly contentType: string;
  /** Requests per second. */
  readonly qps: number;
  readonly burst: number;
}

/** Logging of Kubernetes components. */
export interface Logging {
  readonly format: string;
  /** Milliseconds; lines are written at once, so this has no effect. */
  readonly flushFrequency: number;
  readonly verbosity: number;
  readonly vmodule: readonly VModuleItem[];
  readonly options: { readonly text: OutputRouting; readonly json: OutputRouting };
}

/** Verbosity of the source files whose name matches. */
export interface VModuleItem {
  readonly filePattern: string;
  readonly verbosity: number;
}

/** Where log lines of a format go. */
export interface OutputRouting {
  /** Errors to standard error, the rest to standard output. */
  readonly splitStream: boolean;
  /** Accepted for compatibility; lines are written at once. */
  readonly infoBufferSize: number;
}

/** What the sections of all modes say. */
export interface SyncConfiguration {
  /** How often the kernel's state is compared with what it should be. */
  readonly syncPeriod: number;
  /** The least time between the end of one change of the kernel and the start of the next. */
  readonly minSyncPeriod: number;
}

/** The section of the iptables mode. */
export interface IptablesConfiguration extends SyncConfiguration {
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Whether node ports answer on 127.0.0.0/8. */
  readonly localhostNodePorts: boolean;
}

/** The section of the ipvs mode. */
export interface IpvsConfiguration extends SyncConfiguration {
  readonly scheduler: string;
  readonly excludeCIDRs: readonly string[];
  readonly strictARP: boolean;
  readonly tcpTimeout: number;
  readonly tcpFinTimeout: number;
  readonly udpTimeout: number;
}

/** The section of the nftables mode. */
export interface NftablesConfiguration extends SyncConfiguration {
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
}

/** The section of the kernelspace mode (Windows). */
export interface WinkernelConfiguration {
  readonly networkName: string;
  readonly sourceVip: string;
  readonly enableDSR: boolean;
  readonly rootHnsEndpointName: string;
  readonly forwardHealthCheckVip: boolean;
}

/** What detectLocalMode needs. */
export interface DetectLocal {
  readonly bridgeInterface: string;
  readonly interfaceNamePrefix: string;
}

/** Settings of the connection tracker. */
export interface ConntrackConfiguration {
  /** 0: leave the limit alone. */
  readonly maxPerCore: number;
  readonly min: number;
  /** Milliseconds, as all timeouts; 0: leave alone. */
  readonly tcpEstablishedTimeout: number;
  readonly tcpCloseWaitTimeout: number;
  readonly tcpBeLiberal: boolean;
  readonly udpTimeout: number;
  readonly udpStreamTimeout: number;
}

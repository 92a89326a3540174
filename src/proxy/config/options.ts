/** From flags and a file to one configuration: what goes before what. */
import { tryParseByteSize } from "../../config/codec.ts";
import type { ParsedFlags } from "../../config/flags.ts";
import { commandLine, InvalidInputError } from "../../config/problems.ts";
import { parseModules } from "../../telemetry/log.ts";
import { complete, defaultConfiguration, defaultPorts, withPort } from "./defaults.ts";
import { configurationFlags, type ProxyFlagName, type ProxyFlagValues, type proxyFlags } from "./flags.ts";
import { readConfiguration } from "./schema.ts";
import type { KubeProxyConfiguration, Logging } from "./types.ts";
import { validate } from "./validate.ts";

/**
 * What to do: serve until stopped; programme the kernel once; only what needs full privileges; remove what is in the
 * kernel; or say which modes there are.
 */
export type Task = "serve" | "once" | "init" | "cleanup" | "explain";

/** What the service proxy is asked to do. */
export interface AgentOptions {
  /** Complete and valid. */
  readonly config: KubeProxyConfiguration;
  /** Path of the configuration file; empty without one. */
  readonly configFile: string;
  /** URL of the API server; empty: as the kubeconfig says. */
  readonly master: string;
  /** A directory to take objects from instead of an API server; empty without one. */
  readonly manifests: string;
  readonly task: Task;
  readonly keepLeftovers: boolean;
  /** What a user should know, one line each. */
  readonly warnings: readonly string[];
}

type Parsed = ParsedFlags<typeof proxyFlags>;

/**
 * Makes the options of a parsed command line. With a configuration file all flags that the file could say are ignored,
 * except those about logging and `--hostname-override`: they go before the file.
 *
 * @param readFile reads the configuration file; what it throws is passed on.
 * @param modes the names of the modes that can be chosen, the best first.
 * @throws {InvalidInputError} with everything that is wrong.
 */
export function resolveOptions(
  parsed: Parsed,
  readFile: (path: string) => string,
  modes: readonly string[],
): AgentOptions {
  const { values, given, rest } = parsed;
  if (rest.length > 0) {
    throw new InvalidInputError(commandLine, [`takes no arguments but flags, got ${rest.map(quote).join(" ")}`]);
  }
  const problems: string[] = [];
  if (values.output !== "text" && values.output !== "json") {
    problems.push(`--output must be text or json, not ${quote(values.output)}`);
  }
  const warnings = [...parsed.warnings];
  const path = values.config;
  const fromFlags = configurationOfFlags(values, given);
  const base = path === "" ? fromFlags : readConfiguration(readFile(path), path);
  const overridden = Object.keys(configurationFlags).filter((name) => path !== "" && given.has(name as ProxyFlagName));
  if (overridden.length > 0) warnings.push(`ignored because of --config: --${overridden.join(", --")}`);

  let hostnameOverride = base.hostnameOverride;
  if (values["hostname-override"] !== "") {
    hostnameOverride = values["hostname-override"].trim().toLowerCase();
    if (hostnameOverride === "") problems.push("--hostname-override must not be blank");
  }
  const config = { ...base, hostnameOverride, logging: overrideLogging(base.logging, values, given, problems) };
  problems.push(...validate(config, modes));
  if (problems.length > 0) throw new InvalidInputError(path === "" ? commandLine : path, problems);
  if (values.once && values.manifests !== "" && config.detectLocalMode === "NodeCIDR") {
    warnings.push("detectLocalMode NodeCIDR needs a Node with podCIDRs among the manifests");
  }
  return {
    config,
    configFile: path,
    master: values.master,
    manifests: values.manifests,
    task: values["explain-mode"]
      ? "explain"
      : values.cleanup
        ? "cleanup"
        : values["init-only"]
          ? "init"
          : values.once
            ? "once"
            : "serve",
    keepLeftovers: values["keep-leftovers"],
    warnings,
  };
}

/** The configuration that flags alone make. */
function configurationOfFlags(values: ProxyFlagValues, given: ReadonlySet<ProxyFlagName>): KubeProxyConfiguration {
  const base = defaultConfiguration;
  const mode = values["proxy-mode"];
  const periods = (syncPeriod: number, minSyncPeriod: number, prefix: "iptables" | "ipvs") => ({
    syncPeriod: given.has(`${prefix}-sync-period`) ? values[`${prefix}-sync-period`] : syncPeriod,
    minSyncPeriod: given.has(`${prefix}-min-sync-period`) ? values[`${prefix}-min-sync-period`] : minSyncPeriod,
  });
  const bit = values["iptables-masquerade-bit"];
  const config: KubeProxyConfiguration = {
    ...base,
    featureGates: values["feature-gates"],
    clientConnection: {
      kubeconfig: values.kubeconfig,
      acceptContentTypes: "",
      contentType: values["kube-api-content-type"],
      qps: values["kube-api-qps"],
      burst: values["kube-api-burst"],
    },
    bindAddress: values["bind-address"],
    bindAddressHardFail: values["bind-address-hard-fail"],
    enableProfiling: values.profiling,
    showHiddenMetricsForVersion: values["show-hidden-metrics-for-version"],
    mode,
    iptables: {
      ...periods(base.iptables.syncPeriod, base.iptables.minSyncPeriod, "iptables"),
      masqueradeBit: bit,
      masqueradeAll: values["masquerade-all"],
      localhostNodePorts: values["iptables-localhost-nodeports"],
    },
    ipvs: {
      ...periods(base.ipvs.syncPeriod, 1000, "ipvs"),
      scheduler: values["ipvs-scheduler"],
      excludeCIDRs: values["ipvs-exclude-cidrs"],
      strictARP: values["ipvs-strict-arp"],
      tcpTimeout: values["ipvs-tcp-timeout"],
      tcpFinTimeout: values["ipvs-tcpfin-timeout"],
      udpTimeout: values["ipvs-udp-timeout"],
    },
    nftables: {
      ...periods(base.nftables.syncPeriod, base.nftables.minSyncPeriod, "iptables"),
      // Who gives the bit without choosing a mode means the one in use; upstream that would be iptables.
      masqueradeBit: mode === "" ? bit : base.nftables.masqueradeBit,
      masqueradeAll: values["masquerade-all"],
    },
    winkernel: {
      networkName: values["network-name"],
      sourceVip: values["source-vip"],
      enableDSR: values["enable-dsr"],
      rootHnsEndpointName: given.has("root-hnsendpoint-name") ? values["root-hnsendpoint-name"] : "",
      forwardHealthCheckVip: values["forward-healthcheck-vip"],
    },
    detectLocalMode: values["detect-local-mode"],
    detectLocal: {
      bridgeInterface: values["pod-bridge-interface"],
      interfaceNamePrefix: values["pod-interface-name-prefix"],
    },
    clusterCIDR: values["cluster-cidr"],
    nodePortAddresses: values["nodeport-addresses"],
    oomScoreAdj: values["oom-score-adj"],
    conntrack: {
      maxPerCore: values["conntrack-max-per-core"],
      min: values["conntrack-min"],
      tcpEstablishedTimeout: values["conntrack-tcp-timeout-established"],
      tcpCloseWaitTimeout: values["conntrack-tcp-timeout-close-wait"],
      tcpBeLiberal: values["conntrack-tcp-be-liberal"],
      udpTimeout: values["conntrack-udp-timeout"],
      udpStreamTimeout: values["conntrack-udp-timeout-stream"],
    },
    configSyncPeriod: values["config-sync-period"],
    portRange: values["proxy-port-range"],
    windowsRunAsService: values["windows-service"],
  };
  const { healthzBindAddress, metricsBindAddress } = complete(config);
  const server = (flag: "healthz" | "metrics", address: string) => {
    const port = values[`${flag}-port`];
    if (port === 0) return "";
    if (given.has(`${flag}-bind-address`)) return withPort(values[`${flag}-bind-address`], port);
    return port === defaultPorts[flag] ? address : address.replace(/\d+$/, String(port));
  };
  return {
    ...config,
    healthzBindAddress: server("healthz", healthzBindAddress),
    metricsBindAddress: server("metrics", metricsBindAddress),
  };
}

function overrideLogging(
  logging: Logging,
  values: ProxyFlagValues,
  given: ReadonlySet<ProxyFlagName>,
  problems: string[],
): Logging {
  const pick = <T>(flag: ProxyFlagName, value: T, before: T) => (given.has(flag) ? value : before);
  const routing = (format: "text" | "json") => {
    const before = logging.options[format];
    const size = tryParseByteSize(values[`log-${format}-info-buffer-size`]);
    if (size === undefined)
      problems.push(`--log-${format}-info-buffer-size must be a number of bytes such as 512 or 2Ki`);
    return {
      splitStream: pick(`log-${format}-split-stream`, values[`log-${format}-split-stream`], before.splitStream),
      infoBufferSize: pick(`log-${format}-info-buffer-size`, size ?? 0, before.infoBufferSize),
    };
  };
  let modules: Logging["vmodule"] = [];
  try {
    modules = parseModules(values.vmodule.join(",")).map(({ pattern, level }) => ({
      filePattern: pattern,
      verbosity: level,
    }));
  } catch (error) {
    problems.push(`--vmodule: ${error instanceof Error ? error.message : error}`);
  }
  return {
    format: pick("logging-format", values["logging-format"], logging.format),
    flushFrequency: pick("log-flush-frequency", values["log-flush-frequency"], logging.flushFrequency),
    verbosity: pick("v", values.v, logging.verbosity),
    vmodule: [...modules, ...logging.vmodule],
    options: { text: routing("text"), json: routing("json") },
  };
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** What a KubeProxyConfiguration may say: kube-proxy's rules, all violations at once. */
import { formatDuration } from "../../config/duration.ts";
import { invalidValue } from "../../config/problems.ts";
import { prefixFamily } from "../../net/prefix.ts";
import { isPort, tryParseHostPort } from "../../net/protocol.ts";
import { tryParseNodePortAddress } from "./effective.ts";
import { featureEnabled, gateProblems } from "./gates.ts";
import { configurationKind } from "./schema.ts";
import { parseSloppyAddress, parseSloppyPrefix } from "./sloppy.ts";
import type { ConntrackConfiguration, IpvsConfiguration, KubeProxyConfiguration, Logging } from "./types.ts";

const localModes = ["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"];
const largestVerbosity = 2 ** 31 - 1;

/**
 * Checks the values of a configuration.
 *
 * @param modes the names of the modes that can be chosen.
 * @returns one line for each violation, with the field's path; empty: valid.
 */
export function validate(config: KubeProxyConfiguration, modes: readonly string[]): readonly string[] {
  const problems: string[] = [];
  const at = (field: string) => `${configurationKind}.${field}`;
  const check = (valid: boolean, field: string, value: unknown, rule: string) => {
    if (!valid) problems.push(invalidValue(at(field), value, rule));
  };
  const { iptables, ipvs, nftables, conntrack } = config;

  for (const problem of gateProblems(config.featureGates)) {
    problems.push(invalidValue(at("featureGates"), config.featureGates, problem));
  }
  checkBit(iptables.masqueradeBit, "iptables", check);
  checkPeriods(iptables, "iptables", check);
  if (config.mode === "ipvs") checkIpvs(ipvs, check);
  if (config.mode === "nftables" || config.mode === "") {
    checkBit(nftables.masqueradeBit, "nftables", check);
    checkPeriods(nftables, "nftables", check);
  }
  checkConntrack(conntrack, check);
  checkMode(config, modes, check);
  checkLogging(config.logging, featureEnabled("LoggingAlphaOptions", config.featureGates), check);
  const { burst, qps } = config.clientConnection;
  check(burst >= 0, "clientConnection.burst", burst, "must be greater than or equal to 0");
  check(qps >= -1, "clientConnection.qps", qps, "must be a number of requests per second, or -1 for no limit");
  check(
    Math.abs(config.oomScoreAdj) <= 1000,
    "oomScoreAdj",
    config.oomScoreAdj,
    "must be within the range [-1000, 1000]",
  );
  const resync = config.configSyncPeriod;
  check(resync > 0, "configSyncPeriod", formatDuration(resync), "must be greater than 0");
  check(
    parseSloppyAddress(config.bindAddress) !== undefined,
    "bindAddress",
    config.bindAddress,
    "must be a valid IP address",
  );
  checkServer(config.healthzBindAddress, "healthzBindAddress", check);
  checkServer(config.metricsBindAddress, "metricsBindAddress", check);
  checkPortRange(config.portRange, check);
  checkDetectLocal(config, check);
  for (const [i, entry] of config.nodePortAddresses.entries()) {
    const valid = tryParseNodePortAddress(entry) !== undefined;
    check(valid, `nodePortAddresses[${i}]`, entry, "must be a valid CIDR or one of primary, localhost, all");
  }
  const version = config.showHiddenMetricsForVersion;
  const minor = /^1\.(\d{1,4})$/.test(version);
  check(version === "" || minor, "showHiddenMetricsForVersion", version, "must be empty or like 1.36");
  return problems;
}

/** Notes the value of a field and the rule it breaks, unless it is valid. */
type Check = (valid: boolean, field: string, value: unknown, rule: string) => void;

function checkBit(bit: number, section: string, check: Check): void {
  check(bit >= 0 && bit <= 31, `${section}.masqueradeBit`, bit, "must be within the range [0, 31]");
}

function checkPeriods(
  { syncPeriod, minSyncPeriod }: { readonly syncPeriod: number; readonly minSyncPeriod: number },
  section: string,
  check: Check,
): void {
  const field = `${section}.syncPeriod`;
  check(syncPeriod > 0, field, formatDuration(syncPeriod), "must be greater than 0");
  checkNotNegative(minSyncPeriod, `${section}.minSyncPeriod`, check);
  const least = `${configurationKind}.${section}.minSyncPeriod`;
  check(minSyncPeriod <= syncPeriod, field, formatDuration(syncPeriod), `must be greater than or equal to ${least}`);
}

function checkNotNegative(milliseconds: number, field: string, check: Check): void {
  check(milliseconds >= 0, field, formatDuration(milliseconds), "must be greater than or equal to 0");
}

function checkIpvs(ipvs: IpvsConfiguration, check: Check): void {
  checkPeriods(ipvs, "ipvs", check);
  checkNotNegative(ipvs.tcpTimeout, "ipvs.tcpTimeout", check);
  checkNotNegative(ipvs.tcpFinTimeout, "ipvs.tcpFinTimeout", check);
  checkNotNegative(ipvs.udpTimeout, "ipvs.udpTimeout", check);
  for (const [i, cidr] of ipvs.excludeCIDRs.entries()) {
    check(parseSloppyPrefix(cidr) !== undefined, `ipvs.excludeCIDRs[${i}]`, cidr, "must be a valid CIDR");
  }
}

function checkConntrack(conntrack: ConntrackConfiguration, check: Check): void {
  const rule = "must be greater than or equal to 0";
  check(conntrack.maxPerCore >= 0, "conntrack.maxPerCore", conntrack.maxPerCore, rule);
  check(conntrack.min >= 0, "conntrack.min", conntrack.min, rule);
  checkNotNegative(conntrack.tcpEstablishedTimeout, "conntrack.tcpEstablishedTimeout", check);
  checkNotNegative(conntrack.tcpCloseWaitTimeout, "conntrack.tcpCloseWaitTimeout", check);
  checkNotNegative(conntrack.udpTimeout, "conntrack.udpTimeout", check);
  checkNotNegative(conntrack.udpStreamTimeout, "conntrack.udpStreamTimeout", check);
}

function checkMode({ mode, featureGates }: KubeProxyConfiguration, modes: readonly string[], check: Check): void {
  const ipvs = featureEnabled("KubeProxyIPVS", featureGates);
  const allowed = modes.filter((name) => name !== "ipvs" || ipvs);
  const best = `blank means the best-available proxy [currently ${allowed[0]}]`;
  check(mode === "" || allowed.includes(mode), "mode", mode, `must be ${allowed.join(", ")} or blank (${best})`);
}

function checkLogging(logging: Logging, alpha: boolean, check: Check): void {
  const { format, verbosity, vmodule, options } = logging;
  check(format === "text" || format === "json", "logging.format", format, "must be text or json");
  const inRange = verbosity >= 0 && verbosity <= largestVerbosity;
  check(inRange, "logging.verbosity", verbosity, `must be within the range [0, ${largestVerbosity}]`);
  check(vmodule.length === 0 || format === "text", "logging.vmodule", vmodule, "only supported for text log format");
  for (const [i, { filePattern, verbosity: level }] of vmodule.entries()) {
    const valid = filePattern !== "" && !/[=,]/.test(filePattern);
    check(valid, `logging.vmodule[${i}].filePattern`, filePattern, "must not be empty or contain = or ,");
    check(level >= 0, `logging.vmodule[${i}].verbosity`, level, "must be greater than or equal to 0");
  }
  const rule = "feature LoggingAlphaOptions is disabled";
  for (const [name, { splitStream, infoBufferSize }] of Object.entries(options)) {
    check(alpha || !splitStream, `logging.options.${name}.splitStream`, splitStream, rule);
    check(alpha || infoBufferSize === 0, `logging.options.${name}.infoBufferSize`, infoBufferSize, rule);
  }
}

function checkServer(address: string, field: string, check: Check): void {
  if (address === "") return;
  const parts = tryParseHostPort(address);
  check(isPort(parts?.port), field, address, "must be IP:port, the port within the range [1, 65535]");
  if (parts) check(parseSloppyAddress(parts.host) !== undefined, field, parts.host, "must be a valid IP");
}

function checkPortRange(range: string, check: Check): void {
  const match = /^(\d{1,5})(?:([-+])(\d{1,5}))?$/.exec(range.trim());
  const first = Number(match?.[1]);
  const last = match?.[3] === undefined ? first : match[2] === "+" ? first + Number(match[3]) : Number(match[3]);
  const valid = range.trim() === "" || (match !== null && first <= last && last <= 65535);
  check(valid, "portRange", range, "must be a valid port range (e.g. 300-2000)");
}

function checkDetectLocal(config: KubeProxyConfiguration, check: Check): void {
  const { detectLocalMode: mode, detectLocal, clusterCIDR } = config;
  check(localModes.includes(mode), "detectLocalMode", mode, `must be ${localModes.join(", ")} or blank`);
  const { bridgeInterface: bridge, interfaceNamePrefix: prefix } = detectLocal;
  const needed = "must not be empty in this detectLocalMode";
  const name = "must be shorter than 16 characters, without blanks or slashes";
  check(mode !== "BridgeInterface" || bridge !== "", "detectLocal.bridgeInterface", bridge, needed);
  check(bridge === "" || isInterfaceName(bridge), "detectLocal.bridgeInterface", bridge, name);
  check(mode !== "InterfaceNamePrefix" || prefix !== "", "detectLocal.interfaceNamePrefix", prefix, needed);
  check(prefix === "" || isInterfaceName(prefix), "detectLocal.interfaceNamePrefix", prefix, name);
  if (clusterCIDR === "") return;
  const cidrs = clusterCIDR.split(",").map(parseSloppyPrefix);
  const families = new Set(cidrs.map((cidr) => cidr && prefixFamily(cidr)));
  const valid = !cidrs.includes(undefined) && cidrs.length <= 2 && families.size === cidrs.length;
  const example = "10.100.0.0/16,fde4:8dba:82e1::/48";
  check(
    valid,
    "clusterCIDR",
    clusterCIDR,
    `must be a valid CIDR, or a pair of one IPv4 and one IPv6 (e.g. ${example})`,
  );
}

/** As the kernel's dev_valid_name has it. */
function isInterfaceName(name: string): boolean {
  return name.length <= 15 && name !== "." && name !== ".." && !/[\s/:]/.test(name);
}

/** What of this machine's kernel is set once, before any rules: limits and timeouts of the connection tracker. */
import { availableParallelism } from "node:os";
import { readConntrackBuckets, writeConntrackBuckets, writeOomScoreAdjustment, writeSysctl } from "../kernel/sysctl.ts";
import { errorText, type Logger } from "../telemetry/log.ts";
import type { ConntrackConfiguration, KubeProxyConfiguration } from "./config/types.ts";

/** A sysctl and its value. */
export interface SysctlSetting {
  /** With slashes. */
  readonly name: string;
  readonly value: number;
}

const limit = "net/netfilter/nf_conntrack_max";
const millisecondsPerSecond = 1000;

/** The settings of the connection tracker that a configuration asks for, on a machine with so many CPUs. */
export function conntrackSettings(conntrack: ConntrackConfiguration, cpus: number): readonly SysctlSetting[] {
  const settings: SysctlSetting[] = [];
  if (conntrack.maxPerCore > 0) {
    settings.push({ name: limit, value: Math.max(conntrack.maxPerCore * cpus, conntrack.min) });
  }
  const timeouts = {
    nf_conntrack_tcp_timeout_established: conntrack.tcpEstablishedTimeout,
    nf_conntrack_tcp_timeout_close_wait: conntrack.tcpCloseWaitTimeout,
    nf_conntrack_udp_timeout: conntrack.udpTimeout,
    nf_conntrack_udp_timeout_stream: conntrack.udpStreamTimeout,
  };
  for (const [name, milliseconds] of Object.entries(timeouts)) {
    const value = Math.floor(milliseconds / millisecondsPerSecond);
    if (value > 0) settings.push({ name: `net/netfilter/${name}`, value });
  }
  if (conntrack.tcpBeLiberal) settings.push({ name: "net/netfilter/nf_conntrack_tcp_be_liberal", value: 1 });
  return settings;
}

/**
 * Sets up this machine. What cannot be set is logged and passed over: services work without it.
 *
 * @returns what could not be set, one line each.
 */
export function setUpHost(config: KubeProxyConfiguration, log: Logger): readonly string[] {
  const failures: string[] = [];
  const attempt = (work: () => void): boolean => {
    try {
      work();
      return true;
    } catch (error) {
      failures.push(errorText(error));
      return false;
    }
  };
  attempt(() => writeOomScoreAdjustment(config.oomScoreAdj));
  for (const { name, value } of conntrackSettings(config.conntrack, availableParallelism())) {
    const done = attempt(() => {
      if (writeSysctl(name, value)) log.debug(1, "Kernel setting changed", { sysctl: name, value });
    });
    // Four connections for each bucket are what lookups stay fast with.
    const buckets = Math.floor(value / 4);
    if (done && name === limit && (readConntrackBuckets() ?? buckets) < buckets) {
      attempt(() => writeConntrackBuckets(buckets));
    }
  }
  if (failures.length > 0) log.warn("Kernel settings not changed, services work without them", { failures });
  return failures;
}

/** What the kernel is told once: sysctls and timeouts. */
import type { Ipvs } from "../../../kernel/ipvs/index.ts";
import { readSysctl, writeSysctl } from "../../../kernel/sysctl.ts";
import type { IpvsSettings } from "../../../service/settings.ts";

/** A setting of the kernel and why it must be so. */
interface Sysctl {
  readonly name: string;
  readonly value: number;
}

/** What every node in this mode needs. */
const always: readonly Sysctl[] = [
  // Without connection tracking nothing can be masqueraded on its way to an endpoint.
  { name: "net/ipv4/vs/conntrack", value: 1 },
  // A connection to an endpoint that is gone ends with its next packet, so that the client can try again.
  { name: "net/ipv4/vs/expire_nodest_conn", value: 1 },
  // A client that sticks to an endpoint of weight 0 gets another one for its next connection.
  { name: "net/ipv4/vs/expire_quiescent_template", value: 1 },
  { name: "net/ipv4/ip_forward", value: 1 },
];

/** Addresses of services are no addresses to answer ARP for, or to speak from. */
const strictArp: readonly Sysctl[] = [
  { name: "net/ipv4/conf/all/arp_ignore", value: 1 },
  { name: "net/ipv4/conf/all/arp_announce", value: 2 },
];

/**
 * Before Linux 5.9 a client's port that was used again cost a second; reuse had to be switched off for that, at the price
 * of connections that go on to endpoints that are gone. Since then the default is right.
 */
const reuse: Sysctl = { name: "net/ipv4/vs/conn_reuse_mode", value: 0 };

/** The settings that are wanted on a kernel of this release, such as `6.1.0-18-amd64`. */
export function sysctlsFor(settings: IpvsSettings, release: string): readonly Sysctl[] {
  return [...always, ...(settings.strictARP ? strictArp : []), ...(isBefore(release, 5, 9) ? [reuse] : [])];
}

/** Sets sysctls and timeouts. @throws an Error that says which could not be set, and why. */
export function applySettings(ipvs: Ipvs, settings: IpvsSettings): void {
  for (const { name, value } of sysctlsFor(settings, kernelRelease())) writeSysctl(name, value);
  const timeouts = { tcp: settings.tcpTimeout, tcpFin: settings.tcpFinTimeout, udp: settings.udpTimeout };
  if (Object.values(timeouts).some((seconds) => seconds > 0)) ipvs.setTimeouts(timeouts);
}

/** The sysctls that somebody changed, in words. */
export function changedSysctls(settings: IpvsSettings): readonly string[] {
  return sysctlsFor(settings, kernelRelease()).flatMap(({ name, value }) => {
    const found = readSysctl(name);
    return found === String(value) ? [] : [`sysctl ${name} is ${found ?? "gone"}, not ${value}`];
  });
}

function kernelRelease(): string {
  return readSysctl("kernel/osrelease") ?? "";
}

function isBefore(release: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = release.split(".").map(Number);
  return first < major || (first === major && second < minor);
}

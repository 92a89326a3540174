/**
 * Networks of namespaces for tests: made fast over rtnetlink, removed at the end of the process whatever ends it, and
 * those of processes that were killed by the next one.
 */
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from "node:child_process";
import { createNamespace, deleteNamespace, inNamespace, listNamespaces } from "../../src/kernel/namespace.ts";
import type { NetlinkSocket } from "../../src/kernel/netlink/index.ts";
import {
  addAddress,
  addRoute,
  createLink,
  findLink,
  type Link,
  type LinkKind,
  type LinkSettings,
  openRoute,
  parseMac,
  setBridgePort,
  setLink,
} from "../../src/kernel/route/index.ts";
import { writeSysctl } from "../../src/kernel/sysctl.ts";
import { parseAddress } from "../../src/net/address.ts";
import { parsePrefix } from "../../src/net/prefix.ts";

/** One machine of a test network: a network namespace. */
export class Host {
  /** The namespace's name. */
  readonly namespace: string;
  /** An rtnetlink socket in it. */
  readonly route: NetlinkSocket;

  /** Use {@link TestNetwork.host}. */
  constructor(namespace: string) {
    this.namespace = namespace;
    createNamespace(namespace);
    this.route = openRoute(namespace);
    // Addresses are usable at once: no test has two machines of one address.
    this.sysctl("net/ipv6/conf/default/accept_dad", 0);
    this.sysctl("net/ipv6/conf/all/accept_dad", 0);
    setLink(this.route, 1, { up: true });
  }

  /** Runs synchronous work inside: sockets, workers and programs that it makes belong to this host. */
  run<T>(work: () => T extends PromiseLike<unknown> ? never : T): T {
    return inNamespace(this.namespace, work);
  }

  /** Runs a program inside. @returns its output. @throws if it fails, with what it said. */
  exec(program: string, args: readonly string[], options: Partial<ExecFileSyncOptionsWithStringEncoding> = {}): string {
    return inNamespace(this.namespace, (): string =>
      execFileSync(program, args, { encoding: "utf8", stdio: "pipe", timeout: 30_000, ...options }),
    );
  }

  /** Sets a sysctl, such as `net/ipv4/ip_forward`. */
  sysctl(name: string, value: string | number): void {
    inNamespace(this.namespace, () => {
      writeSysctl(name, value);
    });
  }

  /** Makes it a router of both families, which takes every packet wherever it came from. */
  forwarding(): void {
    for (const name of ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding"]) {
      this.sysctl(name, 1);
    }
    for (const name of ["all", "default"]) {
      this.sysctl(`net/ipv4/conf/${name}/rp_filter`, 0);
      this.sysctl(`net/ipv4/conf/${name}/send_redirects`, 0);
    }
  }

  /** Makes a link. */
  add(name: string, kind: LinkKind, settings: LinkSettings = {}): void {
    createLink(this.route, name, kind, settings);
  }

  /** The link of this name. @throws if there is none. */
  link(name: string): Link {
    const link = findLink(this.route, name);
    if (link === undefined) throw new Error(`${this.namespace} has no link ${name}`);
    return link;
  }

  /** Gives a link addresses such as `10.0.0.1/24`. */
  address(link: string, ...addresses: readonly string[]): void {
    const { index } = this.link(link);
    for (const text of addresses) {
      const [address = "", length = ""] = text.split("/");
      addAddress(this.route, {
        interface: index,
        address: parseAddress(address),
        prefixLength: Number(length),
        withoutDetection: address.includes(":"),
      });
    }
  }

  /** Adds a route through a router, a link or both; `default` and `10.0.0.0/8` are destinations. */
  addRoute(destination: string, way: { readonly via?: string; readonly link?: string; readonly table?: number }): void {
    const gateway = way.via === undefined ? undefined : parseAddress(way.via);
    const any = gateway?.includes(":") ? "::/0" : "0.0.0.0/0";
    const next = {
      ...(gateway !== undefined && { gateway }),
      ...(way.link !== undefined && { interface: this.link(way.link).index }),
    };
    addRoute(this.route, {
      destination: parsePrefix(destination === "default" ? any : destination),
      nextHops: [next],
      ...(way.table !== undefined && { table: way.table }),
    });
  }

  /** Removes it. */
  close(): void {
    this.route.close();
    deleteNamespace(this.namespace);
  }
}

/** A network of hosts. */
export class TestNetwork implements Disposable {
  readonly #prefix: string;
  readonly #hosts = new Map<string, Host>();

  /** @param area names the namespaces: `ptl-AREA-PID-HOST`. */
  constructor(area: string) {
    removeLeftovers(area);
    this.#prefix = `ptl-${area}-${process.pid}`;
    open.add(this);
    watchForTheEnd();
  }

  /** Makes a host. */
  host(name: string): Host {
    const host = new Host(`${this.#prefix}-${name}`);
    this.#hosts.set(name, host);
    return host;
  }

  /**
   * Joins two hosts by a pair of links, both up.
   *
   * @param port what the first one's end becomes a port of, if anything: the name of its bridge.
   */
  join(a: Host, linkA: string, b: Host, linkB: string, port?: string): void {
    a.add(
      linkA,
      { kind: "veth", peer: { name: linkB, namespace: b.namespace, up: true } },
      { up: true, ...(port !== undefined && { master: a.link(port).index }) },
    );
    if (port !== undefined) setBridgePort(a.route, a.link(linkA).index, { hairpin: true });
  }

  /** Makes a bridge on a host, up. Its hardware address stays when ports come. */
  bridge(host: Host, name: string, mac = "02:00:00:00:be:ef"): void {
    host.add(name, { kind: "bridge" }, { up: true, mac: parseMac(mac) });
  }

  /** Removes all hosts. Closing again does nothing. */
  close(): void {
    open.delete(this);
    for (const host of this.#hosts.values()) {
      try {
        host.close();
      } catch (error) {
        process.stderr.write(`${host.namespace} cannot be removed: ${error}\n`);
      }
    }
    this.#hosts.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const open = new Set<TestNetwork>();
let watching = false;

/** However this process ends, short of SIGKILL, it takes its namespaces with it. */
function watchForTheEnd(): void {
  if (watching) return;
  watching = true;
  process.on("exit", () => {
    for (const network of open) network.close();
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
}

/** Removes the namespaces of processes that are gone. */
function removeLeftovers(area: string): void {
  for (const name of listNamespaces()) {
    const [, pid] = new RegExp(`^ptl-${area}-(\\d+)(?:-|$)`).exec(name) ?? [];
    if (pid === undefined || isRunning(Number(pid))) continue;
    try {
      deleteNamespace(name);
    } catch {
      // Another test of this area was faster.
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

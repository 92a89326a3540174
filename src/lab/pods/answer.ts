/** What the server that stands in for an image says: pure, and the same over HTTP, TCP and UDP. */

/** Who answers. */
export interface Identity {
  readonly pod: string;
  readonly namespace: string;
  readonly node: string;
  readonly container: string;
}

/** How the server of a container behaves; times are milliseconds. */
export interface ServerSettings {
  readonly tcp: readonly number[];
  readonly udp: readonly number[];
  /** Before it listens. */
  readonly startupDelay: number;
  /** How long it serves on after it was asked to end, so that nobody is sent to it in vain. */
  readonly shutdownDelay: number;
  /** Whether `/readyz` says yes from the start. */
  readonly ready: boolean;
}

/** A container, as far as its server is concerned. */
export interface ServedContainer {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly { readonly port: number; readonly protocol: string }[];
}

/** Long enough for every proxy to hear that an endpoint is about to go. */
const usualShutdownDelay = 1000;
const longestDelay = 3_600_000;
/** Where a container that names no ports is looked for. */
const usualPorts = [80, 8080];

/**
 * The settings of a container's server: its ports, the environment variables STARTUP_DELAY, SHUTDOWN_DELAY
 * (milliseconds) and READY (`false`), and the flags `--http-port`, `--udp-port` and `--delay-shutdown` (seconds) that
 * the `netexec` of Kubernetes' own test image has.
 */
export function serverSettings({ args, env, ports }: ServedContainer): ServerSettings {
  const flag = (name: string) => {
    const given = args.find((arg) => arg.startsWith(`--${name}=`));
    return given === undefined ? undefined : tryNumber(given.slice(name.length + 3), 65_535);
  };
  const http = flag("http-port");
  const udp = flag("udp-port");
  const of = (protocol: string) => ports.filter((port) => port.protocol === protocol).map(({ port }) => port);
  const tcp = [...of("TCP"), ...(http === undefined ? [] : [http])];
  const both = [...of("UDP"), ...(udp === undefined ? [] : [udp])];
  const delay = flag("delay-shutdown");
  return {
    tcp: [...new Set(tcp.length + both.length === 0 ? usualPorts : tcp)],
    udp: [...new Set(both)],
    startupDelay: tryNumber(env.STARTUP_DELAY, longestDelay) ?? 0,
    shutdownDelay:
      tryNumber(env.SHUTDOWN_DELAY, longestDelay) ?? (delay === undefined ? usualShutdownDelay : delay * 1000),
    ready: env.READY !== "false",
  };
}

/** What of a server changes while it runs. */
export interface Health {
  ready: boolean;
  healthy: boolean;
}

/** Where a question came from and to: `address` without brackets, with the port apart. */
export interface Ends {
  readonly client: string;
  readonly clientPort: number;
  readonly server: string;
  readonly serverPort: number;
}

/** An answer over HTTP; `after` is to be done once it is sent. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly type: "text/plain" | "application/json";
  /** Milliseconds to wait before it is sent. */
  readonly delay: number;
  /** Ends the container with this status. */
  readonly exit?: number;
}

/** The answer to a request; `target` is its path with the query. `health` is changed by those that ask for it. */
export function answerRequest(
  target: string,
  body: string,
  identity: Identity,
  ends: Ends,
  health: Health,
): HttpAnswer {
  const url = new URL(target, "http://pod");
  const query = (name: string) => url.searchParams.get(name);
  const delay = tryNumber(query("delay") ?? "", 60_000) ?? 0;
  const text = (said: string, status = 200): HttpAnswer => ({ status, body: said, type: "text/plain", delay });
  const switchable = (key: keyof Health) => {
    const wanted = query("set");
    if (wanted !== null) health[key] = wanted !== "false";
    return wanted !== null || health[key] ? text("ok\n") : text(`${key}: no\n`, 503);
  };
  switch (url.pathname.toLowerCase()) {
    case "/":
      return { status: 200, body: `${JSON.stringify({ ...identity, ...ends })}\n`, type: "application/json", delay };
    case "/hostname":
      return text(identity.pod);
    case "/nodename":
      return text(identity.node);
    case "/clientip":
      return text(`${ends.client.includes(":") ? `[${ends.client}]` : ends.client}:${ends.clientPort}`);
    case "/echo":
      return text(body !== "" ? body : (query("msg") ?? ""));
    case "/healthz":
      return switchable("healthy");
    case "/readyz":
      return switchable("ready");
    case "/exit":
      return { ...text("bye\n"), exit: tryNumber(query("code") ?? "0", 255) ?? 0 };
    default:
      return text(
        "there are / /hostname /nodename /clientip /echo?msg=TEXT /healthz[?set=false] /readyz[?set=false] /exit?code=N, each with &delay=MILLISECONDS\n",
        404,
      );
  }
}

/** The answer to a line over TCP or a datagram: `hostname`, `clientip`, `echo TEXT`, or anything else for all facts. */
export function answerLine(line: string, identity: Identity, ends: Ends): string {
  const [word = "", ...rest] = line.trim().split(" ");
  switch (word.toLowerCase()) {
    case "hostname":
      return identity.pod;
    case "clientip":
      return `${ends.client}:${ends.clientPort}`;
    case "echo":
      return rest.join(" ");
    default:
      return JSON.stringify({ ...identity, ...ends });
  }
}

/** An address as it is written where IPv4 comes over a socket of both families. */
export function plainAddress(address: string | undefined): string {
  return (address ?? "?").replace(/^::ffff:(?=\d+\.)/, "");
}

function tryNumber(text: string | undefined, most: number): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) && Number(text) <= most ? Number(text) : undefined;
}

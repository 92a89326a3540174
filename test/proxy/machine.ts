/** A machine for tests: a network namespace that is the node, another one that is its pods, the agent as a process. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const program = new URL("../../portolan", import.meta.url).pathname;
const apiServer = new URL("apiserver.ts", import.meta.url).pathname;
let count = 0;

/** How a program ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Answers every request with the address that it came to. */
const podServer = `
  const server = require("node:http").createServer((request, response) => response.end(request.socket.localAddress));
  server.keepAliveTimeout = 1;
  for (const address of ["10.244.0.11", "10.244.0.12", "10.244.0.13"]) {
    const socket = require("node:dgram").createSocket("udp4");
    socket.on("message", (message, client) => socket.send(address, client.port, client.address));
    socket.bind(5353, address);
  }
  server.listen(8080, "0.0.0.0", () => console.log("ready"));
`;

/** Sends a datagram from a port that stays the same, as resolvers and SIP phones do, and prints the answer. */
const datagram = `
  const [address, port] = process.argv.slice(1);
  const socket = require("node:dgram").createSocket("udp4");
  socket.bind(4000, () => socket.send("?", Number(port), address));
  socket.on("message", (message) => { console.log(String(message)); socket.close(); });
  setTimeout(() => { console.log("no answer"); process.exit(); }, 1000).unref();
`;

/** A node with addresses 192.168.7.1 and 127.0.0.1, and pods 10.244.0.11 to .13 that serve HTTP on port 8080. */
export class Machine {
  readonly node: string;
  readonly pods: string;
  /** A directory for manifests and other files. */
  readonly directory: string;
  readonly #children: ChildProcess[] = [];
  readonly #namespaces: string[];

  private constructor() {
    const id = `ptl-proxy-${process.pid}-${count++}`;
    this.node = `${id}-node`;
    this.pods = `${id}-pods`;
    this.#namespaces = [this.node, this.pods];
    this.directory = mkdtempSync(join(tmpdir(), "portolan-proxy-"));
  }

  /** Makes a machine that goes when the test is over. */
  static async make(t: TestContext): Promise<Machine> {
    const machine = new Machine();
    t.after(() => machine.#destroy());
    await machine.#build();
    return machine;
  }

  /** Writes a file into the directory. */
  write(name: string, text: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, text);
    return path;
  }

  /** Runs a program on the node until it ends. */
  exec(command: string, ...args: readonly string[]): string {
    return execFileSync("ip", ["netns", "exec", this.node, command, ...args], { encoding: "utf8", stdio: "pipe" });
  }

  /** Runs the program on the node until it ends by itself. */
  portolan(...args: readonly string[]): Promise<Ended> {
    return this.#run(program, ...args);
  }

  /** As {@link portolan}, as a user without privileges. */
  unprivileged(...args: readonly string[]): Promise<Ended> {
    return this.#run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, ...args);
  }

  async #run(...command: readonly string[]): Promise<Ended> {
    try {
      const { stdout, stderr } = await run("ip", ["netns", "exec", this.node, ...command], {
        timeout: 1000 * Math.max(20, patience),
      });
      return { code: 0, out: stdout, err: stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, out: stdout, err: stderr };
    }
  }

  /** Makes a namespace of a client elsewhere, 192.168.8.2, for which the node is the way to everything. @returns its name. */
  addClient(): string {
    const name = `${this.node}-client`;
    this.#namespaces.push(name);
    execFileSync("ip", ["netns", "add", name]);
    execFileSync("ip", ["-n", name, "link", "set", "lo", "up"]);
    execFileSync("ip", [
      "-n",
      this.node,
      "link",
      "add",
      "client",
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      name,
    ]);
    for (const [namespace, device, address] of [
      [this.node, "client", "192.168.8.1/24"],
      [name, "eth0", "192.168.8.2/24"],
    ] as const) {
      execFileSync("ip", ["-n", namespace, "address", "add", address, "dev", device]);
      execFileSync("ip", ["-n", namespace, "link", "set", device, "up"]);
    }
    execFileSync("ip", ["-n", name, "route", "add", "default", "via", "192.168.8.1"]);
    execFileSync("ip", ["-n", this.pods, "route", "add", "192.168.8.0/24", "via", "192.168.7.1"]);
    this.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1");
    return name;
  }

  /** Starts the proxy and waits until it serves. */
  async start(...args: readonly string[]): Promise<Agent> {
    const agent = new Agent(this.spawn(this.node, program, ["proxy", ...args]));
    await eventually("the proxy serves", () => agent.log.includes('reason="Starting"'));
    return agent;
  }

  /** Starts an API server on the node, or starts it again with the objects it had. */
  async startApi(): Promise<ClusterApi> {
    const directory = join(this.directory, "api");
    const args = ["--disable-warning=ExperimentalWarning", apiServer, directory];
    const child = this.spawn(this.node, process.execPath, args);
    const token = await new Promise<string>((resolve) =>
      child.stdout?.once("data", (data) => resolve(String(data).trim())),
    );
    return new ClusterApi(this, child, token, join(directory, "kubeconfig"));
  }

  /** What a request from the node to this URL gets: a pod's address, or how curl failed. */
  async get(url: string): Promise<string> {
    try {
      const args = ["netns", "exec", this.node, "curl", "-s", "-m", "2", "--noproxy", "*", url];
      return (await run("ip", args)).stdout;
    } catch (error) {
      return `curl: ${(error as { code: number }).code}`;
    }
  }

  /** What several requests one after the other get, each answer once, sorted. */
  async answers(url: string, requests = 20): Promise<readonly string[]> {
    const found = new Set<string>();
    for (let i = 0; i < requests; i++) found.add(await this.get(url));
    return [...found].sort();
  }

  /** What a datagram from the node's UDP port 4000 gets: a pod's address, or `no answer`. */
  async sendDatagram(address: string, port: number): Promise<string> {
    const args = ["netns", "exec", this.node, process.execPath, "-e", datagram, address, String(port)];
    return (await run("ip", args)).stdout.trim();
  }

  /** All rules of this node, of every kind. */
  rules(): string {
    return ["nft list ruleset", "iptables-legacy-save", "ip6tables-legacy-save"]
      .map((line) => this.exec("sh", "-c", line))
      .join("")
      .replace(/^#.*\n/gm, "");
  }

  async #build(): Promise<void> {
    const { node, pods } = this;
    for (const name of this.#namespaces) {
      execFileSync("ip", ["netns", "add", name]);
      execFileSync("ip", ["-n", name, "link", "set", "lo", "up"]);
    }
    execFileSync("ip", ["-n", node, "link", "add", "pods", "type", "veth", "peer", "name", "eth0", "netns", pods]);
    execFileSync("ip", ["-n", node, "address", "add", "192.168.7.1/24", "dev", "pods"]);
    for (const last of [11, 12, 13]) {
      execFileSync("ip", ["-n", pods, "address", "add", `10.244.0.${last}/24`, "dev", "eth0"]);
    }
    execFileSync("ip", ["-n", node, "link", "set", "pods", "up"]);
    execFileSync("ip", ["-n", pods, "link", "set", "eth0", "up"]);
    execFileSync("ip", ["-n", node, "route", "add", "10.244.0.0/24", "dev", "pods", "src", "192.168.7.1"]);
    execFileSync("ip", ["-n", node, "route", "add", "10.96.0.0/16", "dev", "pods"]);
    execFileSync("ip", ["-n", pods, "route", "add", "192.168.7.0/24", "dev", "eth0"]);
    const server = this.spawn(pods, process.execPath, ["-e", podServer]);
    await new Promise((resolve) => server.stdout?.once("data", resolve));
  }

  /** Starts a program in one of the two namespaces; it ends with the machine. */
  spawn(namespace: string, command: string, args: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", namespace, command, ...args], { stdio: "pipe" });
    this.#children.push(child);
    return child;
  }

  async #destroy(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    for (const name of this.#namespaces) {
      try {
        execFileSync("ip", ["netns", "delete", name], { stdio: "ignore" });
      } catch {
        // It was never made.
      }
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** An API server that runs on a machine, and how kubectl would change its objects. */
export class ClusterApi {
  readonly kubeconfig: string;
  readonly #machine: Machine;
  readonly #child: ChildProcess;
  readonly #token: string;

  constructor(machine: Machine, child: ChildProcess, token: string, kubeconfig: string) {
    this.#machine = machine;
    this.#child = child;
    this.#token = token;
    this.kubeconfig = kubeconfig;
  }

  /** One request; what the server answers. */
  request(method: string, path: string, body?: unknown): Record<string, unknown> {
    const json = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const headers = ["-H", `Authorization: Bearer ${this.#token}`, "-H", `Content-Type: ${json}`];
    const data = body === undefined ? [] : ["-d", JSON.stringify(body)];
    const url = `https://127.0.0.1:6443${path}`;
    const text = this.#machine.exec("curl", "-sSk", "--fail-with-body", "-X", method, ...headers, ...data, url);
    return JSON.parse(text) as Record<string, unknown>;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** A running proxy. */
export class Agent {
  readonly #child: ChildProcess;
  /** Its exit status, null if a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Everything it wrote so far. */
  log = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = new Promise((resolve) => child.once("close", resolve));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.log += text;
      });
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Sends a signal and waits for the end. @returns the exit status, null if the signal ended it. */
  async end(name: NodeJS.Signals): Promise<number | null> {
    this.signal(name);
    return this.ended;
  }
}

/** Seconds that something may take: generous, for a busy machine. */
const patience = Number(process.env.PATIENCE ?? 15);

/** Waits until something is so, fifteen seconds at most or as many as variable PATIENCE of the environment says. */
export async function eventually(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 1000 * patience;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not so after ${patience} seconds: ${what}`);
    await sleep(20);
  }
}

/** A manifest of UDP Service `default/dns` with cluster IP 10.96.0.53 and one endpoint. */
export function dns(endpoint: string): string {
  return `apiVersion: v1
kind: Service
metadata: {namespace: default, name: dns}
spec:
  clusterIP: 10.96.0.53
  clusterIPs: [10.96.0.53]
  ports: [{protocol: UDP, port: 53, targetPort: 5353}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: dns-1, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{protocol: UDP, port: 5353}]
endpoints: [{addresses: [${endpoint}], conditions: {ready: true}}]
`;
}

/** A manifest of Service `default/hello` with cluster IP 10.96.0.10, node port 30080 and these endpoints. */
export function hello(...endpoints: readonly string[]): string {
  return `apiVersion: v1
kind: Service
metadata: {namespace: default, name: hello}
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: http, protocol: TCP, port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: hello-1, labels: {kubernetes.io/service-name: hello}}
addressType: IPv4
ports: [{name: http, protocol: TCP, port: 8080}]
endpoints:
${endpoints.map((address) => `- {addresses: [${address}], conditions: {ready: true}}\n`).join("")}`;
}

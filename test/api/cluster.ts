/** A cluster for tests: the API server in this process, its controllers, nodes, and kubectl as a program. */
import { execFile, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";
import { startControllers } from "../../src/kube/controllers/start.ts";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../../src/kube/server/server.ts";
import { parsePrefix } from "../../src/net/prefix.ts";
import { type KubeletOptions, runKubelets } from "./kubelet.ts";

/** What a run of kubectl came to. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A cluster that runs until its test ends. */
export interface Cluster {
  readonly server: ApiServer;
  /** The same cluster, with another kubectl. */
  using(program: string): Pick<Cluster, "kubectl" | "tryKubectl">;
  /** Runs kubectl; `input` is what it reads with `-f -`. Fails the test unless it exits with 0. Gives its output. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** The same, whatever its exit code. */
  tryKubectl(args: readonly string[], input?: string, env?: Readonly<Record<string, string>>): Promise<Outcome>;
  /** Sends a request with the administrator's token. */
  request(method: string, path: string, body?: string, headers?: Readonly<Record<string, string>>): Promise<Answer>;
}

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** kubectl programs of this machine: those named in PORTOLAN_KUBECTL, on the PATH, and of other versions beside the latter. */
export function kubectlPrograms(): readonly string[] {
  const named = (process.env.PORTOLAN_KUBECTL ?? "").split(delimiter).filter((path) => path !== "");
  const found = (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "kubectl"))
    .filter(isProgram)
    .slice(0, 1);
  const beside = "/usr/lib/google-cloud-sdk/bin";
  const others = existsSync(beside) ? readdirSync(beside).filter((name) => /^kubectl\.1\.\d+$/.test(name)) : [];
  return [...new Set([...found, ...named, ...others.map((name) => join(beside, name))])];
}

/** The newest kubectl of this machine, and its minor version: 20 of 1.20. */
export function newestKubectl(): readonly [program: string, version: number] {
  return kubectlPrograms()
    .map((program) => [program, minorVersion(program)] as const)
    .reduce((best, each) => (each[1] > best[1] ? each : best), ["kubectl", 0]);
}

function minorVersion(program: string): number {
  const { stdout } = spawnSync(program, ["version", "--client", "-o", "json"], { encoding: "utf8" });
  const { clientVersion } = JSON.parse(stdout) as { readonly clientVersion: { readonly minor: string } };
  return Number.parseInt(clientVersion.minor, 10);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why tests that need kubectl cannot run; false if they can: for `skip`. */
export const withoutKubectl: string | false =
  kubectlPrograms().length > 0 ? false : "there is no kubectl on this machine: apt-get install kubernetes-client";

/** Starts a cluster with two nodes. `program` is the kubectl to use; the first of the machine unless given. */
export async function startCluster(
  t: TestContext,
  options: Partial<ApiServerOptions> &
    KubeletOptions & { readonly program?: string; readonly nodes?: readonly string[] } = {},
): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), "ptl-api-"));
  const stop = new AbortController();
  const errors: unknown[] = [];
  const report = (error: unknown) => errors.push(error);
  const server = await startApiServer({ directory: join(directory, "server"), report, ...options }, stop.signal);
  startControllers(server.api, { podCIDRs: [parsePrefix("10.244.0.0/16")], report }, stop.signal);
  runKubelets(server.api, options.nodes ?? ["node-a", "node-b"], options, stop.signal);
  t.after(async () => {
    stop.abort();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
    for (const error of errors) throw error;
  });
  const program = options.program ?? kubectlPrograms()[0] ?? "kubectl";
  const home = join(directory, "home");
  const run = (program: string, args: readonly string[], input: string, env: Readonly<Record<string, string>>) =>
    new Promise<Outcome>((resolve) => {
      const child = execFile(
        program,
        args,
        {
          env: { PATH: process.env.PATH ?? "", HOME: home, KUBECONFIG: server.kubeconfig, TERM: "dumb", ...env },
          timeout: 60_000,
          maxBuffer: 64 * 1024 * 1024,
        },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
          resolve({ code, stdout, stderr });
        },
      );
      child.stdin?.end(input);
    });
  const using: Cluster["using"] = (chosen) => ({
    tryKubectl: (args, input = "", env = {}) => run(chosen, args, input, env),
    async kubectl(args, input = "") {
      const { code, stdout, stderr } = await run(chosen, args, input, {});
      if (code !== 0) throw new Error(`kubectl ${args.join(" ")} exited with ${code}:\n${stdout}${stderr}`);
      return stdout;
    },
  });
  return {
    server,
    using,
    ...using(program),
    async request(method, path, body, headers = {}) {
      return await send(server, method, path, body, {
        authorization: `Bearer ${server.credentials.token}`,
        ...headers,
      });
    },
  };
}

/** Sends a request to a server over TLS, trusting its authority. */
export async function send(
  server: ApiServer,
  method: string,
  path: string,
  body: string | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const { request } = await import("node:https");
  return await new Promise((resolve, reject) => {
    const call = request(
      `${server.url}${path}`,
      {
        method,
        ca: server.credentials.authority.certificate,
        headers: { "content-type": "application/json", ...lengthOf(body, headers), ...headers },
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const fields = new Headers();
          for (const [name, value] of Object.entries(response.headers)) fields.set(name, String(value));
          resolve({ status: response.statusCode ?? 0, headers: fields, text: Buffer.concat(chunks).toString() });
        });
        response.on("error", reject);
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

/** Node says no length of the body of a DELETE by itself. */
function lengthOf(
  body: string | undefined,
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return body === undefined || "transfer-encoding" in headers
    ? {}
    : { "content-length": String(Buffer.byteLength(body)) };
}

/** Waits until something holds, at most `seconds`. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${seconds} s in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A Service and a Deployment named `web`. */
export function webManifest(
  options: { readonly replicas?: number; readonly image?: string; readonly port?: number } = {},
): string {
  const { replicas = 3, image = "web:1", port = 8080 } = options;
  return `apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: ${image}
        ports: [{name: http, containerPort: ${port}}]
`;
}

/** Writes a manifest beside the kubeconfig and gives its path. */
export function manifestFile(cluster: Cluster, name: string, text: string): string {
  const path = join(cluster.server.kubeconfig, "..", name);
  writeFileSync(path, text);
  return path;
}

/** A lab for tests: made and used as people do it, with the program and with kubectl. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { listNamespaces } from "../../src/kernel/namespace.ts";
import { signalProcess } from "../../src/kernel/programs.ts";
import { getInside } from "../../src/lab/network/http.ts";
import { namespaceNames } from "../../src/lab/plan/names.ts";
import { parseAddress } from "../../src/net/address.ts";

const tree = fileURLToPath(new URL("../..", import.meta.url));
let count = 0;
/** Seconds that something may take to become so: 10, or as many as variable PATIENCE says where programs are slow. */
export const patience = Number(process.env.PATIENCE ?? 10);
/** Milliseconds that a request may take. */
const requestPatience = patience * 70;

/** How a program ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What may differ from one lab to another. */
export interface TestLabOptions {
  readonly name?: string;
  /** Whether it is the lab of somebody with a home and no privileges. */
  readonly unprivileged?: boolean;
}

/** Shows a folder at another path, for whoever may not go where it is; then becomes a program. */
const shownAt = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';

/**
 * The id of somebody without privileges: an ordinary user for root, and for anybody else, who has no other ids to give,
 * whoever runs the test.
 */
const [, , ids = ""] = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/);
export const unprivilegedUser: number =
  process.getuid?.() === 0 && Number(ids) > 65_536 ? 60_000 + (process.pid % 5000) : (process.getuid?.() ?? 0);

/** What makes a program that user's; for who is root here but has no other ids to give, it takes the privileges away. */
const becomeUnprivileged: readonly string[] =
  process.getuid?.() !== 0
    ? []
    : unprivilegedUser === 0
      ? ["setpriv", "--bounding-set=-all,+setfcap", "--"]
      : ["setpriv", `--reuid=${unprivilegedUser}`, `--regid=${unprivilegedUser}`, "--clear-groups", "--"];

/** Whether that user may have user namespaces, and labs with them. */
export const unprivilegedLabs: boolean = (() => {
  const [file = "", ...args] = [
    ...becomeUnprivileged,
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--net",
    "true",
  ];
  return spawnSync(file, args).status === 0;
})();

/** A lab with a folder of its own. */
export class TestLab {
  readonly name: string;
  readonly folder: string;
  /** The program. */
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #unprivileged: boolean;
  readonly #home = mkdtempSync(join(tmpdir(), "portolan-lab-"));
  /** What the programs that it runs are started with. */
  readonly #prefix: readonly string[];
  readonly #children = new Set<ChildProcess>();

  constructor({ name = `lab${process.pid}x${count++}`, unprivileged = false }: TestLabOptions = {}) {
    this.name = name;
    this.#unprivileged = unprivileged;
    const home = this.#home;
    const state = join(home, ".local", "state");
    this.folder = join(state, "portolan", "lab", name);
    this.program = join(tree, "portolan");
    this.#prefix = [];
    const { NODE_TEST_CONTEXT: _, XDG_STATE_HOME: __, ...env } = process.env;
    const user = unprivilegedUser;
    // Whoever is root, whatever that means here, keeps labs elsewhere.
    const place = unprivileged && user !== 0 ? { HOME: home } : { XDG_STATE_HOME: state };
    this.env = { ...env, ...place, KUBECONFIG: join(this.folder, "api", "kubeconfig") };
    if (!unprivileged || process.getuid?.() !== 0) return;
    const shown = join(home, "tree");
    mkdirSync(shown);
    chownSync(home, user, user);
    this.program = join(shown, "portolan");
    this.#prefix = ["unshare", "--mount", "sh", "-c", shownAt, "sh", tree, shown, ...becomeUnprivileged];
  }

  /** Runs `portolan lab` with the lab's name until it ends. */
  async try(command: string, ...args: readonly string[]): Promise<Ended> {
    return this.run([this.program, "lab", command, "--name", this.name, ...args]);
  }

  /** Runs `portolan lab`, which must succeed. @returns what it wrote. */
  async lab(command: string, ...args: readonly string[]): Promise<string> {
    return expectSuccess(`lab ${command} ${args.join(" ")}`, await this.try(command, ...args));
  }

  /** Runs kubectl, which must succeed. @returns what it wrote. */
  async kubectl(...args: readonly string[]): Promise<string> {
    return expectSuccess(`kubectl ${args.join(" ")}`, await this.run(["kubectl", ...args]));
  }

  /** Applies manifests with kubectl. */
  async apply(manifest: string): Promise<void> {
    expectSuccess("kubectl apply", await this.run(["kubectl", "apply", "-f", "-"], manifest));
  }

  /** Applies objects. */
  async make(...objects: readonly object[]): Promise<void> {
    await this.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
  }

  /** Replaces an object, or a part of one, at its path. */
  async replaceRaw(path: string, object: object): Promise<void> {
    const argv = ["kubectl", "replace", "--raw", path, "-f", "-"];
    expectSuccess("kubectl replace", await this.run(argv, JSON.stringify(object)));
  }

  /** One field of an object. */
  async field(object: string, path: string, ...args: readonly string[]): Promise<string> {
    return this.kubectl("get", ...object.split(" "), "-o", `jsonpath={${path}}`, ...args);
  }

  /** Runs a program in a place of the lab until it ends, without the detour over the command line. */
  async at(place: string, ...argv: readonly string[]): Promise<Ended> {
    return this.run(["ip", "netns", "exec", this.namespace(place), ...argv]);
  }

  /** The namespace of `outside`, a node, or a pod (`NAMESPACE/NAME`). */
  namespace(place: string): string {
    const names = namespaceNames(this.name);
    const [namespace = "", name] = place.split("/");
    if (name !== undefined) return names.pod(namespace, name);
    return place === "outside" ? names.outside : names.node(place);
  }

  /** Asks over HTTP from a place. @returns the answer, or how curl failed: 7 is refused, 28 no answer in time. */
  async get(place: string, url: string, ...args: readonly string[]): Promise<string> {
    const { code, out } = await this.at(
      place,
      "curl",
      "-s",
      "-m",
      String(requestPatience / 1000),
      "--noproxy",
      "*",
      "-f",
      ...args,
      url,
    );
    return code === 0 ? out : `curl: ${code}`;
  }

  /** Asks many times at once. @returns each different answer once, sorted; failures as {@link get} has them. */
  async answers(place: string, url: string, requests = 20): Promise<readonly string[]> {
    const { hostname, port, pathname, search } = new URL(url);
    const address = parseAddress(hostname.replace(/^\[|\]$/g, ""));
    const wanted = { namespace: this.namespace(place), address, port: Number(port || 80), path: pathname + search };
    const ask = async () => {
      try {
        const { status, text } = await getInside(wanted, AbortSignal.timeout(requestPatience));
        return status === 200 ? text : "curl: 22";
      } catch (error) {
        return (error as { readonly code?: unknown }).code === "ECONNREFUSED" ? "curl: 7" : "curl: 28";
      }
    };
    return [...new Set(await Promise.all(Array.from({ length: requests }, ask)))].sort();
  }

  /** Sends a line over UDP from a place and reads the answer; empty if none comes in time. */
  async udp(place: string, address: string, port: number, line = "hostname", sourcePort = 0): Promise<string> {
    const script = `
      const socket = require("node:dgram").createSocket(${JSON.stringify(address.includes(":") ? "udp6" : "udp4")});
      const end = () => socket.close();
      socket.on("error", end).on("message", (text) => { process.stdout.write(String(text)); end(); });
      socket.bind(${sourcePort}, () => socket.send(${JSON.stringify(line)}, ${port}, ${JSON.stringify(address)}));
      setTimeout(end, ${patience * 50}).unref();`;
    return (await this.at(place, process.execPath, "-e", script)).out;
  }

  /** Runs a program until it ends, or for too long. */
  run(argv: readonly string[], input = ""): Promise<Ended> {
    const [file = "", ...args] = [...this.#prefix, ...argv];
    return new Promise((resolve) => {
      const options = { env: this.env, timeout: patience * 4000, maxBuffer: 16 << 20 };
      const child = execFile(file, args, options, (error, out, err) => {
        const code = typeof error?.code === "number" ? error.code : error === null ? 0 : -1;
        resolve({ code, out, err: error !== null && code === -1 ? `${err}${error.message}` : err });
      });
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
    });
  }

  /** Starts a program that goes on, until the lab is removed at the latest. */
  start(argv: readonly string[]): ChildProcess {
    const [file = "", ...args] = [...this.#prefix, ...argv];
    const child = spawn(file, args, { env: this.env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#children.add(child);
    child.on("exit", () => this.#children.delete(child));
    return child;
  }

  /** The namespaces of its name that this machine has now. */
  namespaces(): readonly string[] {
    return listNamespaces().filter(namespaceNames(this.name).owns);
  }

  /** Ends the lab and forgets it. */
  async remove(): Promise<void> {
    // With what they started.
    for (const { pid } of this.#children) if (pid !== undefined) signalProcess(-pid, "SIGKILL");
    const { code, err } = await this.try("reset");
    rmSync(this.#home, { recursive: true, force: true });
    assert.equal(code, 0, err);
    if (!this.#unprivileged) assert.deepEqual(this.namespaces(), []);
  }
}

function expectSuccess(what: string, { code, out, err }: Ended): string {
  if (code !== 0) throw new Error(`${what} ended with status ${code}:\n${err}${out}`);
  return out;
}

/** Waits until something is so, for {@link patience} unless another time is given. */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  isSo: (value: T) => boolean,
  milliseconds = patience * 1000,
): Promise<T> {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await look();
    if (isSo(value)) return value;
    if (Date.now() > end) {
      throw new Error(`not so after ${milliseconds / 1000} seconds: ${what}; it is ${JSON.stringify(value)}`);
    }
    await sleep(30);
  }
}

/**
 * Credential plugins: programs that print a credential
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins).
 */
import { spawn } from "node:child_process";
import { errorText } from "../../telemetry/log.ts";
import { type Fields, isFields, noFields } from "../objects/fields.ts";
import {
  AuthError,
  bearerAuthorization,
  type ClientCertificate,
  type Credential,
  type Credentials,
} from "./credentials.ts";

/** The API group of what plugins are told and answer. */
export const execGroup = "client.authentication.k8s.io";
/** The versions of it that are spoken. */
export const execVersions = [`${execGroup}/v1`, `${execGroup}/v1beta1`] as const;

/** A plugin, as `users[].user.exec` of a kubeconfig describes it. */
export interface ExecPlugin {
  readonly apiVersion: (typeof execVersions)[number];
  /** A name to be found on the PATH, or a path. */
  readonly command: string;
  readonly args: readonly string[];
  /** Variables for the plugin beside those of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether the plugin may, can or must talk to the user on standard input. */
  readonly interactiveMode: "Never" | "IfAvailable" | "Always";
  /** Said to the user if the plugin is not there; may be empty. */
  readonly installHint: string;
  /** `spec.cluster` of what the plugin is told; undefined: not told. */
  readonly cluster?: Fields;
}

/** Milliseconds that a plugin may take: a user may have to type a password. */
const timeLimit = 60_000;
/** Bytes that a plugin may print. */
const outputLimit = 1 << 20;
/** Milliseconds before its expiry when a credential is no longer used. */
const expiryMargin = 10_000;

/** Credentials of a plugin: asked for when first needed, when they expire and when they were refused. */
export class ExecCredentials implements Credentials {
  readonly #plugin: ExecPlugin;
  readonly #now: () => number;
  #cached: Answer | undefined;
  #running: Promise<Answer> | undefined;

  /** @param now milliseconds since the epoch. */
  constructor(plugin: ExecPlugin, now: () => number = Date.now) {
    this.#plugin = plugin;
    this.#now = now;
  }

  async get(): Promise<Credential> {
    if (this.#cached && this.#now() < this.#cached.expires - expiryMargin) return this.#cached.credential;
    // Everyone who asks meanwhile waits for the same run. Its own time limit bounds it; one caller's end is not all's.
    this.#running ??= runPlugin(this.#plugin).finally(() => {
      this.#running = undefined;
    });
    this.#cached = await this.#running;
    return this.#cached.credential;
  }

  refused(): void {
    this.#cached = undefined;
  }
}

/** What a plugin answered. */
export interface Answer {
  readonly credential: Credential;
  /** Milliseconds since the epoch; Infinity if it does not expire. */
  readonly expires: number;
}

async function runPlugin(plugin: ExecPlugin): Promise<Answer> {
  const interactive = plugin.interactiveMode !== "Never" && process.stdin.isTTY === true;
  if (plugin.interactiveMode === "Always" && !interactive) {
    throw new AuthError(`The credential plugin ${plugin.command} needs a terminal, and standard input is none`);
  }
  return parseAnswer(await runProgram(plugin, interactive), plugin);
}

/** Runs the program without a shell; what it printed, or an error that says how it failed. */
function runProgram(plugin: ExecPlugin, interactive: boolean): Promise<string> {
  const spec = { interactive, ...(plugin.cluster && { cluster: plugin.cluster }) };
  const told = JSON.stringify({ apiVersion: plugin.apiVersion, kind: "ExecCredential", spec });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const fail = (how: string) => reject(new AuthError(`The credential plugin ${plugin.command} ${how}`));
  const child = spawn(plugin.command, plugin.args, {
    env: { ...process.env, ...plugin.env, KUBERNETES_EXEC_INFO: told },
    stdio: [interactive ? "inherit" : "ignore", "pipe", "pipe"],
  });
  // By hand, because the timer of spawn's own limit outlives a program that could not be started.
  const limit = setTimeout(() => child.kill("SIGKILL"), timeLimit);
  let output = "";
  let complaint = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
    if (output.length > outputLimit) child.kill("SIGKILL");
  });
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    if (interactive) process.stderr.write(chunk);
    complaint = (complaint + chunk).slice(-500);
  });
  child.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") return fail(`cannot be run: ${errorText(error)}`);
    const hint = plugin.installHint.trim();
    fail(`is not installed: no such program${hint === "" ? "" : `. ${hint}`}`);
  });
  child.on("close", (code, signal) => {
    if (output.length > outputLimit) return fail(`printed more than ${outputLimit} bytes`);
    if (code === 0) return resolve(output);
    const how = signal ? `was ended by ${signal}: it may take ${timeLimit / 1000} s` : `failed with exit code ${code}`;
    fail(complaint.trim() === "" ? how : `${how}: ${complaint.trim()}`);
  });
  return promise.finally(() => clearTimeout(limit));
}

/**
 * Reads the ExecCredential that a plugin printed.
 *
 * @throws {AuthError} if it is not one of the asked-for version, with a token or a certificate and its key.
 */
export function parseAnswer(output: string, plugin: Pick<ExecPlugin, "apiVersion" | "command">): Answer {
  const fail = (how: string): never => {
    throw new AuthError(`The credential plugin ${plugin.command} printed ${how}`);
  };
  let raw: unknown;
  try {
    raw = JSON.parse(output);
  } catch {
    return fail("something else than JSON");
  }
  const answer = isFields(raw) ? raw : noFields;
  if (answer.kind !== "ExecCredential" || answer.apiVersion !== plugin.apiVersion) {
    return fail(`${String(answer.kind)} of ${String(answer.apiVersion)}, not ExecCredential of ${plugin.apiVersion}`);
  }
  const status = isFields(answer.status) ? answer.status : noFields;
  const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = status;
  const hasToken = typeof token === "string" && token !== "";
  const certificate = readCertificate(cert, key);
  if (!hasToken && certificate === undefined) {
    return fail("no status.token, nor status.clientCertificateData with status.clientKeyData");
  }
  const expires = typeof expirationTimestamp === "string" ? Date.parse(expirationTimestamp) : Number.POSITIVE_INFINITY;
  if (Number.isNaN(expires)) return fail(`status.expirationTimestamp ${JSON.stringify(expirationTimestamp)}: no time`);
  const credential = {
    ...(hasToken && { authorization: bearerAuthorization(token) }),
    ...(certificate && { certificate }),
  };
  return { credential, expires };
}

function readCertificate(cert: unknown, key: unknown): ClientCertificate | undefined {
  return typeof cert === "string" && typeof key === "string" && cert !== "" && key !== "" ? { cert, key } : undefined;
}

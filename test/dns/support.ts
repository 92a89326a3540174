/** A `portolan dns` process for tests, on free ports of the loopback address. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const main = join(import.meta.dirname, "../../src/cli/main.ts");

/** A running server. */
export interface DnsProcess {
  readonly directory: string;
  readonly child: ChildProcess;
  /** Standard output and errors so far. */
  output(): string;
  /** Waits until the output matches. */
  until(pattern: RegExp): Promise<void>;
  /** Replaces a file of its directory. */
  write(name: string, text: string): void;
  stop(): Promise<void>;
}

/** A free port of the loopback address, for TCP and, most probably, UDP. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Starts a server with these files in its directory; `Corefile` is its Corefile. */
export async function startDns(
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<DnsProcess> {
  const directory = mkdtempSync(join(tmpdir(), "ptl-dns-"));
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  for (const [name, text] of Object.entries(files)) write(name, text);
  const child = spawn(process.execPath, [main, "dns", "-conf", join(directory, "Corefile"), ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += String(bytes)));
  const until = async (pattern: RegExp) => {
    for (let i = 0; !pattern.test(output); i++) {
      if (i > 200 || (child.exitCode !== null && i > 10)) throw new Error(`no ${pattern} in:\n${output}`);
      await delay(50);
    }
  };
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until(/^portolan /m);
  } catch (error) {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return { directory, child, output: () => output, until, write, stop };
}

/** What a program prints. */
export function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", timeout: 20_000 });
}

/** The answer of `dig`, a line for each record. */
export function dig(port: number, ...args: readonly string[]): string[] {
  return run("dig", "@127.0.0.1", "-p", String(port), "+noall", "+answer", "+tries=1", "+time=3", ...args)
    .trim()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith(";"))
    .map((line) => line.replace(/\s+/g, " "));
}

/** A self-signed certificate for `dns.test` and 127.0.0.1, and its key, in PEM. */
export function makeCertificate(): { readonly cert: string; readonly key: string } {
  const pem = run(
    "openssl",
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", "/CN=dns.test", "-addext", "subjectAltName=DNS:dns.test,IP:127.0.0.1", "-keyout", "-", "-out", "-"],
  );
  const part = (kind: string) =>
    new RegExp(`-----BEGIN ${kind}-----.*?-----END ${kind}-----\n`, "s").exec(pem)?.[0] ?? "";
  return { cert: part("CERTIFICATE"), key: part("PRIVATE KEY") };
}

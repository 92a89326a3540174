/**
 * A virtual machine for tests that need what this machine's kernel may lack: IPVS, dummy links. It is user-mode Linux
 * (Debian package user-mode-linux): a kernel as an ordinary program, which boots in 2 to 3 seconds without KVM and sees
 * the host's files. What is written there is lost with it. Starting programs is slow in there (some 60 ms), netlink and
 * plain computing are not: batch many tests in one boot.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quoteArguments } from "./quote.ts";

/** What to run, and in what machine. */
export interface VmOptions {
  /** Kernel modules to load first, in this order. */
  readonly modules: readonly string[];
  /** Variables of the environment, beside PATH. */
  readonly env?: Readonly<Record<string, string>>;
  /** Memory of the machine in MiB. */
  readonly memory?: number;
  /** Milliseconds after which the machine is turned off, ready or not. */
  readonly timeout: number;
}

/** How the program ended. */
export interface VmResult {
  /** Its exit status; undefined if it did not end by itself: too slow, or the machine died. */
  readonly status: number | undefined;
  readonly output: string;
  readonly errors: string;
  /** What the machine's kernel said. */
  readonly log: string;
}

/** The program that is the virtual machine. */
const program = "linux.uml";

/** Runs a program as root in a virtual machine, in the current folder. */
export async function runInVm(argv: readonly string[], options: VmOptions): Promise<VmResult> {
  // Not below /dev or /run, on which the machine mounts its own.
  const folder = mkdtempSync(join(tmpdir(), "ptl-vm-"));
  const path = (name: string) => join(folder, name);
  try {
    const variables = Object.entries({ ...options.env, PATH: searchPath() });
    const exports = variables.map(([name, value]) => `export ${quoteArguments([`${name}=${value}`])}\n`);
    writeFileSync(path("command"), `${exports.join("")}exec ${quoteArguments(argv)}\n`);
    const log = openSync(path("log"), "w");
    try {
      await boot(folder, log, options);
    } finally {
      closeSync(log);
    }
    const read = (name: string) => (existsSync(path(name)) ? readFileSync(path(name), "utf8") : "");
    const status = read("status").trim();
    return {
      status: status === "" ? undefined : Number(status),
      output: read("stdout"),
      errors: read("stderr"),
      log: read("log"),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the machine until it is off. */
function boot(folder: string, log: number, { memory = 1024, modules, timeout }: VmOptions): Promise<void> {
  const args = [
    ...["quiet", "loglevel=3", `mem=${memory}M`, `uml_dir=${folder}/`, "umid=vm"],
    ...["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", `init=${join(import.meta.dirname, "init.sh")}`],
    ...["con=null", "con0=null,fd:1"],
    // What the kernel does not know goes into the environment of the first program.
    ...[`PTL_SHARE=${folder}`, `PTL_FOLDER=${process.cwd()}`, `"PTL_MODULES=${modules.join(" ")}"`],
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", log, log], env: { PATH: searchPath() } });
    const end = () => turnOff(folder);
    const timer = setTimeout(end, timeout);
    process.once("exit", end);
    const done = () => {
      clearTimeout(timer);
      process.removeListener("exit", end);
      end();
    };
    child.on("error", (error) => {
      done();
      reject(new Error(`${program} cannot be started (Debian package user-mode-linux): ${error.message}`));
    });
    child.on("exit", () => {
      done();
      resolve();
    });
  });
}

/** The machine is a group of processes, of which the first says its number in a file while it lives. */
function turnOff(folder: string): void {
  try {
    process.kill(-Number(readFileSync(join(folder, "vm", "pid"), "utf8")), "SIGKILL");
  } catch {
    // It is off.
  }
}

function searchPath(): string {
  return `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`;
}

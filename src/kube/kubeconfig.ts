/**
 * How to reach an API server, from kubeconfig files
 * (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/).
 */
import { delimiter, join, resolve } from "node:path";
import { type AccessEnvironment, type ClusterAccess, inCluster, processEnvironment } from "./access.ts";
import {
  basicAuthorization,
  bearerAuthorization,
  type Credentials,
  combineCredentials,
  fixedCredentials,
} from "./auth/credentials.ts";
import { ExecCredentials, type ExecPlugin, execVersions } from "./auth/exec.ts";
import { FileCredentials } from "./auth/files.ts";
import { Entry, fileExists, KubeconfigError, readBounded } from "./kubeconfig/entry.ts";
import { type Fields, isFields, noFields } from "./objects/fields.ts";
import { parseYaml, YamlError } from "./yaml.ts";

export { KubeconfigError } from "./kubeconfig/entry.ts";

/**
 * The cluster that a user's command means: that of the kubeconfig given by name, else of `KUBECONFIG`, else of
 * `~/.kube/config`; where there is none of these, the one that this pod runs in.
 *
 * @throws {KubeconfigError}
 */
export function findCluster(
  wanted: { readonly kubeconfig?: string; readonly context?: string },
  environment: AccessEnvironment = processEnvironment,
): ClusterAccess {
  if (wanted.kubeconfig !== undefined) return loadKubeconfig([wanted.kubeconfig], wanted);
  const named = environment.env.KUBECONFIG?.split(delimiter).filter((file) => file !== "") ?? [];
  const candidates = named.length > 0 ? named : [join(environment.home, ".kube", "config")];
  const files = candidates.filter(fileExists);
  if (files.length > 0) return loadKubeconfig(files, wanted);
  if (environment.env.KUBERNETES_SERVICE_HOST !== undefined) return inCluster(environment);
  throw new KubeconfigError(
    `No cluster is configured: there is no ${candidates.join(", no ")}, and this is no pod; name a kubeconfig file`,
  );
}

/** What overrides a kubeconfig. */
export interface KubeconfigOverrides {
  /** The context to use instead of `current-context`. */
  readonly context?: string;
  /** The API server to use instead of the cluster's (`--master`). */
  readonly server?: string;
}

/**
 * The cluster and user of a context of kubeconfig files. Of several files that say the same, the first counts.
 *
 * @throws {KubeconfigError}
 */
export function loadKubeconfig(files: readonly string[], overrides: KubeconfigOverrides = {}): ClusterAccess {
  const configs = files.map(readConfig);
  const contextName = overrides.context ?? firstText(configs, "current-context");
  if (contextName === undefined && overrides.server === undefined) {
    throw new KubeconfigError(`${files.join(", ")}: current-context: Required value: name one of the contexts`);
  }
  const context = contextName === undefined ? undefined : findEntry(configs, "contexts", contextName);
  const clusterName = context?.text("cluster");
  const userName = context?.text("user");
  const cluster = clusterName === undefined ? undefined : findEntry(configs, "clusters", clusterName);
  const user = userName === undefined ? undefined : findEntry(configs, "users", userName);
  if (cluster === undefined && overrides.server === undefined) {
    throw new KubeconfigError(`${context?.at("cluster")}: Required value: the name of a cluster`);
  }
  const tlsServerName = cluster?.text("tls-server-name");
  const ca = cluster?.textOrFile("certificate-authority");
  const proxy = cluster?.url("proxy-url", ["http:", "https:"]);
  return {
    server: readServer(cluster, overrides.server),
    ...(ca !== undefined && { ca }),
    ...(tlsServerName !== undefined && { tlsServerName }),
    insecure: cluster?.flag("insecure-skip-tls-verify") ?? false,
    ...(proxy && { proxy }),
    credentials: user ? readUser(user, cluster) : fixedCredentials(),
    namespace: context?.text("namespace") ?? "default",
    origin: contextName === undefined ? (overrides.server ?? "") : `context ${contextName} of ${files.join(", ")}`,
  };
}

function readServer(cluster: Entry | undefined, override: string | undefined): URL {
  if (override !== undefined) {
    const text = override.includes("://") ? override : `http://${override}`;
    const url = URL.parse(text);
    if (url && (url.protocol === "http:" || url.protocol === "https:")) return url;
    throw new KubeconfigError(`The API server ${JSON.stringify(override)} is no URL like https://10.0.0.1:6443`);
  }
  const url = cluster?.url("server", ["http:", "https:"]);
  if (url) return url;
  throw new KubeconfigError(`${cluster?.at("server")}: Required value: a URL like https://10.0.0.1:6443`);
}

/** A token file counts more than a token, that more than a password; a plugin is asked if there is nothing else. */
function readUser(user: Entry, cluster: Entry | undefined): Credentials {
  const parts = [readAuthorization(user), readCertificate(user)].filter((part) => part !== undefined);
  const exec = user.entry("exec");
  if (parts.length === 0 && exec) return new ExecCredentials(readExec(exec, cluster));
  if (parts.length === 0 && user.has("auth-provider")) {
    throw new KubeconfigError(`${user.at("auth-provider")}: Not supported: use a credential plugin (exec) instead`);
  }
  return combineCredentials(parts);
}

function readAuthorization(user: Entry): Credentials | undefined {
  const tokenFile = user.path("tokenFile");
  if (tokenFile !== undefined) return new FileCredentials({ tokenFile });
  const token = user.text("token");
  if (token !== undefined) return fixedCredentials({ authorization: bearerAuthorization(token) });
  const username = user.text("username");
  if (username === undefined) return undefined;
  return fixedCredentials({ authorization: basicAuthorization(username, user.text("password") ?? "") });
}

function readCertificate(user: Entry): Credentials | undefined {
  const cert = user.textOrFile("client-certificate");
  const key = user.textOrFile("client-key");
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    const missing = cert === undefined ? "client-certificate" : "client-key";
    throw new KubeconfigError(`${user.at(missing)}: Required value: a certificate and its key belong together`);
  }
  const certFile = user.path("client-certificate");
  const keyFile = user.path("client-key");
  const inFiles = certFile && keyFile && !user.has("client-certificate-data") && !user.has("client-key-data");
  return inFiles
    ? new FileCredentials({ certificate: { certFile, keyFile } })
    : fixedCredentials({ certificate: { cert, key } });
}

function readExec(exec: Entry, cluster: Entry | undefined): ExecPlugin {
  const apiVersion = execVersions.find((version) => version === exec.text("apiVersion"));
  if (!apiVersion)
    throw new KubeconfigError(`${exec.at("apiVersion")}: Invalid value: must be ${execVersions.join(" or ")}`);
  const command = exec.text("command");
  if (!command) throw new KubeconfigError(`${exec.at("command")}: Required value: the program to run`);
  const modes = ["Never", "IfAvailable", "Always"] as const;
  const mode = exec.text("interactiveMode");
  const interactiveMode = mode === undefined ? "IfAvailable" : modes.find((candidate) => candidate === mode);
  if (!interactiveMode)
    throw new KubeconfigError(`${exec.at("interactiveMode")}: Invalid value: must be ${modes.join(", ")}`);
  const variables = exec.entries("env").map((entry) => [entry.text("name") ?? "", entry.text("value") ?? ""] as const);
  const told = exec.flag("provideClusterInfo") ? cluster && clusterInfo(cluster) : undefined;
  return {
    apiVersion,
    command: command.includes("/") ? (exec.path("command") ?? command) : command,
    args: exec.texts("args"),
    env: Object.fromEntries(variables),
    interactiveMode,
    installHint: exec.text("installHint") ?? "",
    ...(told && { cluster: told }),
  };
}

/** What a plugin is told of the cluster: `spec.cluster` of an ExecCredential. */
function clusterInfo(cluster: Entry): Fields {
  const ca = cluster.textOrFile("certificate-authority");
  const extensions = cluster.entries("extensions");
  const own = extensions.find((entry) => entry.text("name") === "client.authentication.k8s.io/exec");
  return {
    server: cluster.text("server"),
    "tls-server-name": cluster.text("tls-server-name"),
    "insecure-skip-tls-verify": cluster.flag("insecure-skip-tls-verify"),
    "certificate-authority-data": ca && Buffer.from(ca).toString("base64"),
    "proxy-url": cluster.text("proxy-url"),
    config: own?.fields.extension,
  };
}

function readConfig(file: string): Entry {
  const text = readBounded(file, "kubeconfig");
  try {
    const documents = parseYaml(text);
    const root = documents[0]?.value ?? noFields;
    if (documents.length > 1) throw new KubeconfigError(`${file}: must be one YAML document, not ${documents.length}`);
    const entry = new Entry(isFields(root) ? root : noFields, resolve(file), "");
    const kind = entry.text("kind") ?? "Config";
    if (kind !== "Config")
      throw new KubeconfigError(`${file}: kind: Invalid value: ${JSON.stringify(kind)}: must be Config`);
    return entry;
  } catch (error) {
    if (error instanceof YamlError) throw new KubeconfigError(`${file}:${error.line}: ${error.message}`);
    throw error;
  }
}

function firstText(configs: readonly Entry[], field: string): string | undefined {
  for (const config of configs) {
    const text = config.text(field);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** The content of the named entry of a list: `contexts[dev].context`. */
function findEntry(configs: readonly Entry[], list: "contexts" | "clusters" | "users", name: string): Entry {
  const names: string[] = [];
  for (const config of configs) {
    for (const entry of config.entries(list)) {
      const own = entry.text("name") ?? "";
      names.push(own);
      if (own !== name) continue;
      return entry.entry(list.slice(0, -1)) ?? new Entry(noFields, entry.file, `${list}[${name}]`);
    }
  }
  const files = configs.map((config) => config.file).join(", ");
  const known = names.length > 0 ? `there is ${names.join(", ")}` : "there is none";
  throw new KubeconfigError(`${files}: ${list}: Not found: ${JSON.stringify(name)}: ${known}`);
}

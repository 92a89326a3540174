/** How to reach an API server, and how from inside of a pod. */
import { homedir } from "node:os";
import { join } from "node:path";
import type { Credentials } from "./auth/credentials.ts";
import { FileCredentials } from "./auth/files.ts";
import { fileExists, KubeconfigError, readBounded } from "./kubeconfig/entry.ts";

/** An API server, and who one is there. */
export interface ClusterAccess {
  /** `http:` or `https:`, with a path if the API is below one. */
  readonly server: URL;
  /** Certificates in PEM that the server's must lead to; undefined: the system's. */
  readonly ca?: string;
  /** The name that the server's certificate must have, and that is asked for by SNI; undefined: that of `server`. */
  readonly tlsServerName?: string;
  /** The server's certificate is not looked at. */
  readonly insecure: boolean;
  /** An `http:` or `https:` proxy to go through. */
  readonly proxy?: URL;
  readonly credentials: Credentials;
  /** The namespace of commands that name none. */
  readonly namespace: string;
  /** What this was made from, for messages: `context dev of /root/.kube/config`, `the service account of this pod`. */
  readonly origin: string;
}

/** What of the environment says where the API server is. */
export interface AccessEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Where a pod finds the token and CA of its service account. */
  readonly serviceAccount: string;
}

/** That of this process. */
export const processEnvironment: AccessEnvironment = {
  env: process.env,
  home: homeOrRoot(),
  serviceAccount: "/var/run/secrets/kubernetes.io/serviceaccount",
};

/** The home of this user; users that are but a number, as in many containers, have none. */
function homeOrRoot(): string {
  try {
    return homedir();
  } catch {
    return "/";
  }
}

/**
 * The cluster that this pod runs in, as its service account.
 *
 * @throws {KubeconfigError} outside a pod.
 */
export function inCluster(environment: AccessEnvironment = processEnvironment): ClusterAccess {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = environment.env;
  if (!host) throw new KubeconfigError("KUBERNETES_SERVICE_HOST is not set: this is no pod; name a kubeconfig file");
  const inAccount = (file: string) => join(environment.serviceAccount, file);
  const read = (file: string) => readBounded(inAccount(file), "the service account of this pod");
  return {
    server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
    ca: read("ca.crt"),
    insecure: false,
    credentials: new FileCredentials({ tokenFile: inAccount("token") }),
    namespace: fileExists(inAccount("namespace")) ? read("namespace").trim() : "default",
    origin: "the service account of this pod",
  };
}

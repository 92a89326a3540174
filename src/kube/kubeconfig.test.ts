import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inCluster } from "./access.ts";
import { findCluster, KubeconfigError, loadKubeconfig } from "./kubeconfig.ts";

const folder = mkdtempSync(join(tmpdir(), "portolan-kubeconfig-"));
after(() => rmSync(folder, { recursive: true }));
const never = new AbortController().signal;
let files = 0;

function write(content: string): string {
  const file = join(folder, `config-${files++}`);
  writeFileSync(file, content);
  return file;
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A kubeconfig of one context with these clusters' and users' fields, in YAML's flow style. */
const config = (cluster: string, user: string) => `
apiVersion: v1
kind: Config
current-context: dev
contexts: [{name: dev, context: {cluster: c, user: u, namespace: shop}}]
clusters: [{name: c, cluster: {${cluster}}}]
users: [{name: u, user: {${user}}}]
`;

test("a context leads to its cluster and user", async () => {
  const ca = base64("CA");
  const server = `server: https://10.0.0.1:6443, tls-server-name: api, proxy-url: http://proxy:3128`;
  const file = write(config(`${server}, certificate-authority-data: ${ca}`, "token: t1"));
  const access = loadKubeconfig([file]);
  assert.equal(access.server.href, "https://10.0.0.1:6443/");
  assert.equal(access.ca, "CA");
  assert.equal(access.tlsServerName, "api");
  assert.equal(access.proxy?.href, "http://proxy:3128/");
  assert.equal(access.namespace, "shop");
  assert.equal(access.insecure, false);
  assert.deepEqual(await access.credentials.get(never), { authorization: "Bearer t1" });
});

test("of several files, the first that says something counts", async () => {
  const first = write("current-context: b\nusers: [{name: u, user: {token: first}}]");
  const second = write(`${config("server: http://a", "token: second")}`);
  const third = write("contexts: [{name: b, context: {cluster: c, user: u}}]");
  const access = loadKubeconfig([first, second, third]);
  assert.equal(access.server.href, "http://a/");
  assert.deepEqual(await access.credentials.get(never), { authorization: "Bearer first" });
});

test("paths are relative to the file that has them", async () => {
  writeFileSync(join(folder, "ca.pem"), "CA file");
  writeFileSync(join(folder, "cert.pem"), "CERT");
  writeFileSync(join(folder, "key.pem"), "KEY");
  writeFileSync(join(folder, "token"), "from-file\n");
  const user = "tokenFile: token, token: unused, client-certificate: cert.pem, client-key: key.pem";
  const access = loadKubeconfig([write(config("server: https://a, certificate-authority: ./ca.pem", user))]);
  assert.equal(access.ca, "CA file");
  assert.deepEqual(await access.credentials.get(never), {
    authorization: "Bearer from-file",
    certificate: { cert: "CERT", key: "KEY" },
  });
});

test("a user name and password become basic authorization", async () => {
  const access = loadKubeconfig([write(config("server: https://a", "username: 017, password: pa:ss"))]);
  assert.deepEqual(await access.credentials.get(never), { authorization: `Basic ${base64("15:pa:ss")}` });
});

test("a server given apart overrides the cluster's, and needs no context", () => {
  assert.equal(
    loadKubeconfig([write(config("server: https://a", ""))], { server: "1.2.3.4:80" }).server.host,
    "1.2.3.4",
  );
  assert.equal(loadKubeconfig([write("kind: Config")], { server: "https://b" }).server.href, "https://b/");
});

const errors: readonly (readonly [what: string, content: string, message: RegExp])[] = [
  ["no current context", "kind: Config", /: current-context: Required value/],
  ["an unknown context", "current-context: x", /: contexts: Not found: "x": there is none/],
  [
    "an unknown cluster",
    "current-context: d\ncontexts: [{name: d, context: {cluster: gone}}]\nclusters: [{name: c}]",
    /: clusters: Not found: "gone": there is c/,
  ],
  ["no server", config("", ""), /: clusters\[c\]\.cluster\.server: Required value/],
  ["a server that is no URL", config("server: 10.0.0.1", ""), /: clusters\[c\]\.cluster\.server: Invalid value/],
  ["a proxy of another kind", config("server: https://a, proxy-url: socks5://p", ""), /\.proxy-url: Invalid value/],
  ["data that is not base64", config("server: https://a, certificate-authority-data: '?'", ""), /must be base64/],
  [
    "a missing file",
    config("server: https://a, certificate-authority: /no/ca", ""),
    /authority: \/no\/ca cannot be read/,
  ],
  [
    "a certificate without its key",
    config("server: https://a", "client-certificate-data: QQ=="),
    /\.client-key: Required/,
  ],
  [
    "a retired way to log in",
    config("server: https://a", "auth-provider: {name: oidc}"),
    /auth-provider: Not supported/,
  ],
  [
    "a plugin of another version",
    config("server: https://a", "exec: {apiVersion: v0, command: a}"),
    /exec\.apiVersion: Inv/,
  ],
  ["a list where a map belongs", "current-context: d\ncontexts: {}", /: contexts: Invalid value: must be a list/],
  ["broken YAML", "a: [1,\n  b: }", /:2: /],
  ["another kind", "kind: Pod", /kind: Invalid value: "Pod": must be Config/],
];

for (const [what, content, message] of errors) {
  test(`a kubeconfig with ${what} is refused with file and field`, () => {
    const file = write(content);
    assert.throws(
      () => loadKubeconfig([file]),
      (error) => error instanceof KubeconfigError && message.test(error.message) && error.message.includes(file),
    );
  });
}

test("secrets are not quoted in messages", () => {
  const file = write(config("server: https://a", "token: [hunter2]"));
  assert.throws(() => loadKubeconfig([file]), /^(?!.*hunter2).*users\[u\]\.user\.token/);
});

test("a pod finds the service account's token, CA and namespace", async () => {
  const serviceAccount = join(folder, "account");
  mkdirSync(serviceAccount);
  for (const [name, content] of [
    ["token", "sa-token"],
    ["ca.crt", "SA CA"],
    ["namespace", "kube-system"],
  ] as const) {
    writeFileSync(join(serviceAccount, name), content);
  }
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  const access = findCluster({}, { env, home: join(folder, "nobody"), serviceAccount });
  assert.equal(access.server.href, "https://[fd00::1]/");
  assert.equal(access.ca, "SA CA");
  assert.equal(access.namespace, "kube-system");
  assert.deepEqual(await access.credentials.get(never), { authorization: "Bearer sa-token" });
  writeFileSync(join(serviceAccount, "token"), "renewed");
  assert.deepEqual(await access.credentials.get(never), { authorization: "Bearer sa-token" }, "cached for a minute");
  access.credentials.refused();
  assert.deepEqual(await access.credentials.get(never), { authorization: "Bearer renewed" });
  writeFileSync(join(serviceAccount, "token"), "");
  access.credentials.refused();
  assert.deepEqual(
    await access.credentials.get(never),
    { authorization: "Bearer renewed" },
    "half-written: the last one",
  );
});

test("KUBECONFIG goes before ~/.kube/config, and both before the pod", () => {
  const home = join(folder, "home");
  mkdirSync(join(home, ".kube"), { recursive: true });
  const named = write(config("server: https://named", ""));
  const env = { KUBECONFIG: `/no/such:${named}`, KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  writeFileSync(join(home, ".kube", "config"), config("server: https://home", ""));
  const serviceAccount = "/no/account";
  assert.equal(findCluster({}, { env, home, serviceAccount }).server.host, "named");
  assert.equal(findCluster({}, { env: {}, home, serviceAccount }).server.host, "home");
  assert.throws(() => findCluster({}, { env: {}, home: folder, serviceAccount }), /No cluster is configured/);
  assert.throws(() => inCluster({ env: {}, home, serviceAccount }), /no pod/);
});

/** A kubeconfig whose user has a plugin: a shell script. */
function withPlugin(script: string, more = ""): string {
  const file = join(folder, `plugin-${files++}`);
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const exec = `exec: {apiVersion: client.authentication.k8s.io/v1, command: ${file}, interactiveMode: Never${more}}`;
  return write(config("server: https://a, tls-server-name: api", exec));
}

const answer = (status: string) =>
  `{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {${status}}}`;

test("a credential plugin is run without a shell, told of the cluster, and asked again when its credential expires", async () => {
  const count = join(folder, "count");
  const script = `echo run >> ${count}
n=$(wc -l < ${count})
case "$KUBERNETES_EXEC_INFO" in *'"server":"https://a"'*) ;; *) exit 9;; esac
test "$1" = '$(reboot);' && test "$EXTRA" = yes || exit 8
echo '${answer(`"token": "t'$n'", "expirationTimestamp": "'$WHEN'"`)}'`;
  const past =
    "args: ['$(reboot);'], provideClusterInfo: true, env: [{name: EXTRA, value: 'yes'}, {name: WHEN, value: ";
  const expired = loadKubeconfig([withPlugin(script, `, ${past}'2020-01-01T00:00:00Z'}]`)]);
  assert.deepEqual(await expired.credentials.get(never), { authorization: "Bearer t1" });
  assert.deepEqual(await expired.credentials.get(never), { authorization: "Bearer t2" });
  const fresh = loadKubeconfig([withPlugin(script, `, ${past}'2999-01-01T00:00:00Z'}]`)]);
  const both = await Promise.all([fresh.credentials.get(never), fresh.credentials.get(never)]);
  assert.deepEqual(both, [{ authorization: "Bearer t3" }, { authorization: "Bearer t3" }]);
  assert.deepEqual(await fresh.credentials.get(never), { authorization: "Bearer t3" });
  fresh.credentials.refused();
  assert.deepEqual(await fresh.credentials.get(never), { authorization: "Bearer t4" });
});

const failures: readonly (readonly [what: string, script: string, message: RegExp])[] = [
  ["fails", "echo not logged in >&2; exit 3", /failed with exit code 3: not logged in/],
  ["prints garbage", "echo hello", /something else than JSON/],
  ["prints too much", "head -c 3000000 /dev/zero", /printed more than 1048576 bytes/],
  ["prints no credential", `echo '${answer("")}'`, /no status.token/],
  [
    "speaks another version",
    `echo '{"kind": "ExecCredential", "apiVersion": "x/v2"}'`,
    /of x\/v2, not ExecCredential of/,
  ],
  ["prints no time", `echo '${answer(`"token": "t", "expirationTimestamp": "soon"`)}'`, /"soon": no time/],
];

for (const [what, script, message] of failures) {
  test(`a credential plugin that ${what} is named with what is wrong`, async () => {
    await assert.rejects(loadKubeconfig([withPlugin(script)]).credentials.get(never), message);
  });
}

test("a credential plugin that is not there is named with its hint", async () => {
  const exec = "apiVersion: client.authentication.k8s.io/v1beta1, command: no-such-program, installHint: Install it.";
  const access = loadKubeconfig([write(config("server: https://a", `exec: {${exec}}`))]);
  await assert.rejects(
    access.credentials.get(never),
    /no-such-program is not installed: no such program\. Install it\./,
  );
});

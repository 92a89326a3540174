import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { ClusterAccess } from "../../src/kube/access.ts";
import { basicAuthorization, type Credential, fixedCredentials } from "../../src/kube/auth/credentials.ts";
import { type ApiResponse, type ClientOptions, KubeClient, KubeError, resourcePath } from "../../src/kube/client.ts";
import { endpointSlices } from "../../src/kube/objects/endpointslice.ts";
import { nodes } from "../../src/kube/objects/node.ts";
import { services } from "../../src/kube/objects/service.ts";
import { createAuthority, createServerCertificate } from "../../src/kube/server/tls/certificate.ts";
import { sendStatus } from "./apiserver.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;
const forever = new AbortController().signal;

/** A server of one handler, and a client of it. */
async function start(
  t: TestContext,
  handler: Handler,
  { tls, access, options }: { tls?: ServerOptions; access?: Partial<ClusterAccess>; options?: ClientOptions } = {},
) {
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    handler(request, response, body);
  };
  const server: Server = tls ? createTlsServer(tls, handle) : createServer(handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = new KubeClient(
    {
      server: new URL(`${tls ? "https" : "http"}://127.0.0.1:${port}`),
      insecure: false,
      credentials: fixedCredentials(),
      namespace: "default",
      origin: "test",
      ...access,
    },
    options,
  );
  t.after(async () => {
    await client.destroy();
    server.closeAllConnections();
    server.close();
  });
  return { client, server, port };
}

test("paths are those of the API", () => {
  assert.equal(resourcePath(nodes), "/api/v1/nodes");
  assert.equal(resourcePath(services, { namespace: "a", name: "b" }), "/api/v1/namespaces/a/services/b");
  assert.equal(resourcePath(endpointSlices), "/apis/discovery.k8s.io/v1/endpointslices");
  assert.equal(resourcePath(services, { namespace: "../x", name: "y?z" }), "/api/v1/namespaces/..%2Fx/services/y%3Fz");
});

test("an object is created with its body, its type, the user's name and the agent's", async (t) => {
  const seen: unknown[] = [];
  const handler: Handler = ({ method, url, headers }, response, body) => {
    seen.push([method, url, headers["content-type"], headers.accept, headers["user-agent"], headers.authorization]);
    response.writeHead(201).end(body);
  };
  const credentials = fixedCredentials({ authorization: basicAuthorization("me", "secret") });
  const { client } = await start(t, handler, { access: { credentials }, options: { userAgent: "portolan/test" } });
  const event = { apiVersion: "events.k8s.io/v1", kind: "Event", note: "häppy" };
  const path = "/apis/events.k8s.io/v1/namespaces/default/events";
  const answer = await client.send(
    { method: "POST", path, query: { fieldManager: "me & you", unset: undefined }, body: event },
    forever,
  );
  assert.deepEqual(answer, event);
  const authorization = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  const url = `${path}?fieldManager=me+%26+you`;
  assert.deepEqual(seen, [["POST", url, "application/json", "application/json", "portolan/test", authorization]]);
});

test("an API below a path is reached there", async (t) => {
  const { port } = await start(t, ({ url }, response) => response.end(JSON.stringify(url)));
  const client = new KubeClient({
    server: new URL(`http://127.0.0.1:${port}/clusters/one/`),
    insecure: false,
    credentials: fixedCredentials(),
    namespace: "default",
    origin: "test",
  });
  t.after(() => client.destroy());
  assert.equal(await client.send({ path: "/version" }, forever), "/clusters/one/version");
});

test("a refusal is an error with its status, reason and message", async (t) => {
  const handler: Handler = ({ url }, response) => {
    if (url === "/html") response.writeHead(502).end(`<html>\n<b>Bad</b> ${"x".repeat(10_000)}`);
    else sendStatus(response.setHeader("retry-after", "2"), 403, "Forbidden", 'User "x" cannot list');
  };
  const { client, port } = await start(t, handler);
  await assert.rejects(client.send({ path: "/api/v1/nodes" }, forever), (error) => {
    assert.ok(error instanceof KubeError);
    assert.deepEqual([error.status, error.reason, error.retryAfter], [403, "Forbidden", 2000]);
    assert.equal(error.message, `GET http://127.0.0.1:${port}/api/v1/nodes: 403 Forbidden: User "x" cannot list`);
    return true;
  });
  await assert.rejects(client.send({ path: "/html" }, forever), (error) => {
    assert.ok(error instanceof KubeError && error.status === 502 && error.reason === "");
    assert.match(error.message, /: 502: <html> <b>Bad<\/b> x+$/);
    assert.ok(error.message.length < 500);
    return true;
  });
});

test("an answer that is no JSON is an error that says whose", async (t) => {
  const { client } = await start(t, (_request, response) => response.end("hello"));
  await assert.rejects(
    client.send({ path: "/x" }, forever),
    /sent "hello" as the answer to GET http:.*\/x: that is no JSON/,
  );
});

test("an aborted request ends at once with the signal's reason", async (t) => {
  const { client } = await start(t, () => {});
  const stop = new AbortController();
  const request = client.send({ path: "/hang" }, stop.signal);
  setTimeout(() => stop.abort(new Error("enough")), 30);
  await assert.rejects(request, /^Error: enough$/);
  await assert.rejects(client.send({ path: "/hang" }, stop.signal), /^Error: enough$/);
});

test("a refused credential is tried once more with a new one, and not for ever", async (t) => {
  const seen: unknown[] = [];
  const handler: Handler = ({ headers }, response) => {
    seen.push(headers.authorization);
    if (headers.authorization === "2") response.end("{}");
    else sendStatus(response, 401, "Unauthorized", "Unauthorized");
  };
  let current = 1;
  const credentials = {
    get: (): Promise<Credential> => Promise.resolve({ authorization: String(current) }),
    refused() {
      current++;
    },
  };
  const { client } = await start(t, handler, { access: { credentials } });
  assert.deepEqual(await client.send({ path: "/" }, forever), {});
  current = 5;
  await assert.rejects(client.send({ path: "/" }, forever), /401 Unauthorized/);
  assert.deepEqual(seen, ["1", "2", "5", "6"]);
});

const now = new Date();
const authority = createAuthority("test", now);
const named = createServerCertificate(authority, ["api.example"], now);
const serverTls = { key: named.key, cert: named.certificate };

test("TLS: the server must be of the cluster's authority and have the name that is asked for", async (t) => {
  const handler: Handler = (_request, response) => response.end("{}");
  const ca = authority.certificate;
  const good = await start(t, handler, { tls: serverTls, access: { ca, tlsServerName: "api.example" } });
  assert.deepEqual(await good.client.send({ path: "/" }, forever), {});
  const unnamed = await start(t, handler, { tls: serverTls, access: { ca } });
  await assert.rejects(unnamed.client.send({ path: "/" }, forever), /GET https:.*127\.0\.0\.1 is not in the cert/);
  const other = createAuthority("other", now).certificate;
  const stranger = await start(t, handler, { tls: serverTls, access: { ca: other, tlsServerName: "api.example" } });
  await assert.rejects(
    stranger.client.send({ path: "/" }, forever),
    /GET https:.*: unable to verify|self-signed|signature/,
  );
  const careless = await start(t, handler, { tls: serverTls, access: { insecure: true } });
  assert.deepEqual(await careless.client.send({ path: "/" }, forever), {});
});

test("TLS: a client certificate is shown, and a renewed one on new connections", async (t) => {
  const seen: string[] = [];
  const handler: Handler = ({ socket }, response) => {
    seen.push(String((socket as TLSSocket).getPeerCertificate().subject?.CN));
    response.end("{}");
  };
  let credential: Credential = {};
  const credentials = { get: () => Promise.resolve(credential), refused() {} };
  const tls = { ...serverTls, requestCert: true, rejectUnauthorized: false };
  const { client } = await start(t, handler, {
    tls,
    access: { ca: authority.certificate, tlsServerName: "api.example", credentials },
  });
  for (const name of ["one", "one", "two"]) {
    const { certificate: cert, key } = createServerCertificate(authority, [name], now);
    credential = { certificate: { cert, key } };
    await client.send({ path: "/" }, forever);
  }
  assert.deepEqual(seen, ["one", "one", "two"]);
});

test("a proxy is gone through, to a server of TLS too", async (t) => {
  const tunnels: string[] = [];
  const proxy = createServer();
  proxy.on("connect", (request, socket) => {
    tunnels.push(String(request.url));
    const [host, port] = String(request.url).split(":");
    const onward = connect(Number(port), String(host), () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.on("error", () => {});
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => proxy.close());
  const { port: proxyPort } = proxy.address() as AddressInfo;
  const access = {
    ca: authority.certificate,
    tlsServerName: "api.example",
    proxy: new URL(`http://127.0.0.1:${proxyPort}`),
  };
  const { client, port } = await start(t, (_request, response) => response.end("{}"), { tls: serverTls, access });
  assert.deepEqual(await client.send({ path: "/" }, forever), {});
  assert.deepEqual(tunnels, [`127.0.0.1:${port}`]);
});

test("every response is told, for metrics; requests beyond the burst wait", async (t) => {
  const told: ApiResponse[] = [];
  const options = { qps: 20, burst: 2, onResponse: (response: ApiResponse) => void told.push(response) };
  const { client, server, port } = await start(t, (_request, response) => response.end("{}"), { options });
  const began = performance.now();
  await Promise.all([1, 2, 3, 4].map(() => client.send({ path: "/" }, forever)));
  assert.ok(performance.now() - began >= 98, "two at once, two 50 ms later each");
  server.closeAllConnections();
  server.close();
  await assert.rejects(client.send({ path: "/" }, forever), /ECONNREFUSED|other side closed/);
  assert.deepEqual(
    told.map(({ method, host, code }) => `${method} ${host} ${code}`),
    [...Array(4).fill(`GET 127.0.0.1:${port} 200`), `GET 127.0.0.1:${port} <error>`],
  );
});

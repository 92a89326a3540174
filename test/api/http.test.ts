/** The API server spoken to without kubectl: protocols, bad input, slow clients. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { test } from "node:test";
import { connect } from "node:tls";
import { type Cluster, eventually, send, startCluster } from "./cluster.ts";

const configMap = (name: string, data: Readonly<Record<string, string>> = {}) =>
  JSON.stringify({ metadata: { name }, data });
const path = "/api/v1/namespaces/default/configmaps";

/** A watch as its events come in. */
interface Watch {
  readonly events: {
    readonly type: string;
    readonly object: { readonly metadata: Record<string, unknown> & { name?: string }; code?: number; kind: string };
  }[];
  readonly response: IncomingMessage;
  close(): void;
}

async function watch(cluster: Cluster, query: string, base = path): Promise<Watch> {
  const { server } = cluster;
  const call = request(`${server.url}${base}?watch=true&${query}`, {
    ca: server.credentials.authority.certificate,
    headers: { authorization: `Bearer ${server.credentials.token}` },
    agent: false,
  });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  const events: Watch["events"] = [];
  let rest = "";
  response.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) events.push(JSON.parse(line));
  });
  response.on("error", () => undefined);
  return { events, response, close: () => call.destroy() };
}

const names = (events: Watch["events"]) =>
  events.map(({ type, object }) => `${type} ${object.metadata.name ?? ""}`.trim());

test("only those with the token get in, and only over TLS", async (t) => {
  const { server } = await startCluster(t, { nodes: [] });
  for (const headers of [
    {},
    { authorization: "Bearer wrong" },
    { authorization: `Basic ${server.credentials.token}` },
  ]) {
    for (const target of ["/api/v1/namespaces", "/version", "/healthz", "/nothing"]) {
      const answer = await send(server, "GET", target, undefined, headers as Record<string, string>);
      assert.equal(answer.status, 401);
      assert.equal(JSON.parse(answer.text).reason, "Unauthorized");
    }
  }
  await assert.rejects(fetch(server.url.replace("https", "http")));
});

test("bodies that cannot be read are refused whole, with a sentence", async (t) => {
  const { request: ask } = await startCluster(t, { nodes: [] });
  const cases: readonly (readonly [string, string, RegExp, Record<string, string>?])[] = [
    ["{", "400", /cannot be read/],
    ["", "400", /cannot be read/],
    ["[]", "400", /not an object/],
    ['{"kind":"Service","apiVersion":"v1"}', "400", /does not match the expected kind \(ConfigMap\)/],
    ['{"apiVersion":"v2"}', "400", /does not match the expected API version/],
    ['{"metadata":{"name":"a"},"data":{"k":1}}', "400", /cannot unmarshal number into field data.k of type string/],
    ['{"metadata":{"name":"a"},"data":{"__proto__":"x"}}', "400", /__proto__/],
    [`{"metadata":{"name":"a","annotations":${'{"a":'.repeat(300)}1${"}".repeat(300)}}}`, "400", /nests deeper/],
    ['{"metadata":{"name":"A_b"}}', "422", /a lowercase RFC 1123 subdomain must consist/],
    ["{}", "422", /metadata.name: Required value: name or generateName is required/],
    ['{"metadata":{"name":"a","labels":{"a b":"c"}}}', "422", /metadata.labels: Invalid value/],
    ['{"metadata":{"name":"a","namespace":"other"}}', "400", /namespace of the provided object does not match/],
    ['{"metadata":{"name":"a","resourceVersion":"1"}}', "400", /resourceVersion should not be set/],
    [
      `{"metadata":{"name":"a"},"data":{"k":"${"x".repeat(1_100_000)}"}}`,
      "422",
      /Too long: may not be more than 1048576 bytes/,
    ],
    ["k8s\0\xff\xff", "400", /cannot be read/, { "content-type": "application/vnd.kubernetes.protobuf" }],
    ["<a/>", "415", /unknown format/, { "content-type": "application/xml" }],
  ];
  for (const [body, status, message, headers] of cases) {
    const answer = await ask("POST", path, body, headers);
    const parsed = JSON.parse(answer.text);
    assert.equal(String(answer.status), status, `${body.slice(0, 60)}: ${answer.text.slice(0, 300)}`);
    assert.equal(parsed.kind, "Status");
    assert.match(parsed.message, message);
  }
  assert.equal((await ask("GET", `${path}/a`)).status, 404);
});

test("a body beyond the limit is cut off, whether it says its length or not", async (t) => {
  const { server, request: ask } = await startCluster(t, { nodes: [] });
  const huge = configMap("huge", { k: "x".repeat(4 * 1024 * 1024) });
  const answer = await ask("POST", path, huge).catch((error: NodeJS.ErrnoException) => error.code);
  if (typeof answer === "object") {
    assert.equal(answer.status, 413);
    assert.match(answer.text, /Request entity too large: limit is 3145728/);
  } else assert.match(String(answer), /EPIPE|ECONNRESET/);
  const chunked = await ask("POST", path, huge, { "transfer-encoding": "chunked" }).catch(
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (typeof chunked === "object") assert.equal(chunked.status, 413);
  else assert.match(String(chunked), /EPIPE|ECONNRESET/);
  assert.equal(
    (await send(server, "GET", "/readyz", undefined, { authorization: `Bearer ${server.credentials.token}` })).status,
    200,
  );
});

test("what is not there is 404, what is not done is 405, both as Status", async (t) => {
  const { request: ask } = await startCluster(t, { nodes: [] });
  for (const target of [
    "/api/v1/flowers",
    "/apis/garden/v1/flowers",
    "/api/v2",
    "/apis/apps/v2/deployments",
    "/x",
    "/api/v1/namespaces/default/pods/p/juggle",
    "/%zz",
  ]) {
    const answer = await ask("GET", target);
    assert.equal(answer.status, 404, target);
    assert.equal(JSON.parse(answer.text).reason, "NotFound");
  }
  assert.match(
    (await ask("GET", "/apis/apps/v1/namespaces/default/deployments/none")).text,
    /deployments.apps \\"none\\" not found/,
  );
  assert.equal((await ask("PATCH", path, "{}")).status, 405);
  assert.equal((await ask("POST", "/version", "{}")).status, 405);
  assert.equal((await ask("PATCH", `${path}/a`, "{}", { "content-type": "text/plain" })).status, 415);
  assert.equal((await ask("GET", path, undefined, { accept: "application/vnd.kubernetes.protobuf" })).status, 406);
  assert.match(
    (await ask("POST", "/api/v1/namespaces/none/configmaps", configMap("a"))).text,
    /namespaces \\"none\\" not found/,
  );
});

test("an update of an old version is a conflict, and a patch of one too", async (t) => {
  const { request: ask } = await startCluster(t, { nodes: [] });
  const first = JSON.parse((await ask("POST", path, configMap("a"))).text);
  const put = (object: unknown) => ask("PUT", `${path}/a`, JSON.stringify(object));
  assert.equal((await put({ ...first, data: { a: "1" } })).status, 200);
  const late = await put({ ...first, data: { a: "2" } });
  assert.equal(late.status, 409);
  assert.match(late.text, /Operation cannot be fulfilled on configmaps \\"a\\": the object has been modified/);
  const merge = { "content-type": "application/merge-patch+json" };
  const stale = JSON.stringify({ metadata: { resourceVersion: first.metadata.resourceVersion }, data: { b: "1" } });
  assert.equal((await ask("PATCH", `${path}/a`, stale, merge)).status, 409);
  assert.equal((await ask("DELETE", `${path}/a`, JSON.stringify({ preconditions: { uid: "other" } }))).status, 409);
  const now = JSON.parse((await ask("GET", `${path}/a`)).text);
  assert.deepEqual(now.data, { a: "1" });
  const same = JSON.parse((await put(now)).text);
  assert.equal(
    same.metadata.resourceVersion,
    now.metadata.resourceVersion,
    "an update that changes nothing is not written",
  );
  const json = { "content-type": "application/json-patch+json" };
  const unfit = await ask("PATCH", `${path}/a`, '[{"op":"test","path":"/data/a","value":"9"}]', json);
  assert.equal(unfit.status, 422);
});

test("unknown members are warned of, refused or passed over, as the client wishes", async (t) => {
  const { request: ask } = await startCluster(t, { nodes: [] });
  const body = JSON.stringify({ metadata: { name: "a" }, dtaa: {} });
  const warned = await ask("POST", `${path}?dryRun=All`, body);
  assert.equal(warned.status, 201);
  assert.equal(warned.headers.get("warning"), '299 - "unknown field \\"dtaa\\""');
  assert.equal((await ask("POST", `${path}?fieldValidation=Strict`, body)).status, 400);
  const ignored = await ask("POST", `${path}?fieldValidation=Ignore&dryRun=All`, body);
  assert.equal(ignored.headers.get("warning"), null);
  assert.equal((await ask("POST", `${path}?fieldValidation=Maybe`, body)).status, 400);
  assert.equal((await ask("GET", `${path}/a`)).status, 404, "dry runs write nothing");
});

test("lists come in pages that together are the whole, as it was at the first of them", async (t) => {
  const { request: ask } = await startCluster(t, { nodes: [] });
  for (let i = 0; i < 7; i++) await ask("POST", path, configMap(`c${i}`));
  const seen: string[] = [];
  let token = "";
  do {
    const page = JSON.parse((await ask("GET", `${path}?limit=3&continue=${token}`)).text);
    assert.ok(page.items.length <= 3);
    seen.push(...page.items.map((item: { metadata: { name: string } }) => item.metadata.name));
    token = page.metadata.continue ?? "";
  } while (token !== "");
  assert.deepEqual(seen, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
  const first = JSON.parse((await ask("GET", `${path}?limit=2`)).text);
  await ask("DELETE", `${path}/c4`);
  await ask("POST", path, configMap("c30"));
  await ask("PUT", `${path}/c3`, configMap("c3", { changed: "yes" }));
  const more = JSON.parse((await ask("GET", `${path}?limit=9&continue=${first.metadata.continue}`)).text);
  assert.deepEqual(
    more.items.map((item: { metadata: { name: string }; data?: unknown }) => [item.metadata.name, item.data]),
    ["c2", "c3", "c4", "c5", "c6"].map((name) => [name, {}]),
    "all pages are of the state of the first",
  );
  assert.equal(more.metadata.resourceVersion, first.metadata.resourceVersion);
  const exact = `resourceVersion=${first.metadata.resourceVersion}&resourceVersionMatch=Exact`;
  assert.equal(JSON.parse((await ask("GET", `${path}?${exact}`)).text).items.length, 7);
  assert.equal((await ask("GET", `${path}?continue=rubbish`)).status, 410);
  assert.equal((await ask("GET", `${path}?limit=x`)).status, 400);
  assert.equal((await ask("GET", `${path}?resourceVersion=999999`)).status, 504);
});

test("a watch goes on where it stopped, begins with what there is, or is told that it is too late", async (t) => {
  const cluster = await startCluster(t, { nodes: [], history: 5, bookmarkMilliseconds: 50 });
  const { request: ask } = cluster;
  await ask("POST", path, configMap("a"));
  const list = JSON.parse((await ask("GET", path)).text);
  const version = list.metadata.resourceVersion;
  await ask("POST", path, configMap("b"));
  const resumed = await watch(cluster, `resourceVersion=${version}&allowWatchBookmarks=true`);
  t.after(() => resumed.close());
  await eventually("b is told", () => names(resumed.events).includes("ADDED b"));
  assert.ok(!names(resumed.events).includes("ADDED a"));
  await eventually("a bookmark comes", () => resumed.events.some((event) => event.type === "BOOKMARK"));
  const initial = await watch(
    cluster,
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
  );
  t.after(() => initial.close());
  await eventually("the end of the initial events is told", () =>
    initial.events.some((event) => event.type === "BOOKMARK"),
  );
  assert.deepEqual(names(initial.events).slice(0, 3), ["ADDED a", "ADDED b", "BOOKMARK"]);
  const mark = initial.events[2]?.object.metadata as { annotations?: Record<string, string> };
  assert.equal(mark.annotations?.["k8s.io/initial-events-end"], "true");
  const chosen = await watch(cluster, `resourceVersion=${version}&labelSelector=show%3Dyes`);
  t.after(() => chosen.close());
  const label = (value: string | null) =>
    ask("PATCH", `${path}/a`, JSON.stringify({ metadata: { labels: { show: value } } }), {
      "content-type": "application/merge-patch+json",
    });
  await label("yes");
  await label(null);
  await eventually("the object enters and leaves the selection", () => chosen.events.length === 2);
  assert.deepEqual(names(chosen.events), ["ADDED a", "DELETED a"]);
  for (let i = 0; i < 20; i++) await ask("POST", path, configMap(`many${i}`));
  const late = await ask("GET", `${path}?watch=true&resourceVersion=${version}`);
  assert.equal(late.status, 410);
  assert.equal(JSON.parse(late.text).reason, "Expired");
  const short = await watch(cluster, "timeoutSeconds=1");
  const begun = performance.now();
  await once(short.response, "end");
  assert.ok(performance.now() - begun < 5000);
});

test("a client that never reads its watch is dropped, and costs the others nothing", async (t) => {
  const cluster = await startCluster(t, { nodes: [], stallMilliseconds: 300 });
  const { server, request: ask } = cluster;
  const address = new URL(server.url);
  const lazy = connect({
    host: address.hostname,
    port: Number(address.port),
    ca: server.credentials.authority.certificate,
  });
  await once(lazy, "secureConnect");
  lazy.write(`GET ${path}?watch=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.credentials.token}\r\n\r\n`);
  lazy.pause();
  let closed = false;
  lazy.on("close", () => {
    closed = true;
  });
  lazy.on("error", () => undefined);
  const eager = await watch(cluster, "");
  t.after(() => eager.close());
  await ask("POST", path, configMap("big", { k: "x".repeat(500_000) }));
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 60; i++) {
    await ask("PATCH", `${path}/big`, JSON.stringify({ data: { n: String(i) } }), {
      "content-type": "application/merge-patch+json",
    });
  }
  await eventually("the eager one has all", () => eager.events.length === 61);
  await new Promise((resolve) => setTimeout(resolve, 400));
  lazy.resume();
  await eventually("the lazy one is dropped", () => closed);
  assert.ok(process.memoryUsage().rss - before < 400 * 1024 * 1024);
});

test("discovery says the same in its old and its aggregated form", async (t) => {
  const { request: ask } = await startCluster(t, { nodes: [] });
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
  const groups = JSON.parse((await ask("GET", "/apis", undefined, { accept })).text);
  const plain = JSON.parse((await ask("GET", "/apis")).text);
  assert.deepEqual(
    groups.items.map((item: { metadata: { name: string } }) => item.metadata.name),
    plain.groups.map((group: { name: string }) => group.name),
  );
  for (const group of groups.items) {
    const [version] = group.versions;
    const resources = JSON.parse((await ask("GET", `/apis/${group.metadata.name}/${version.version}`)).text).resources;
    const old = resources.map((item: { name: string }) => item.name);
    const aggregated = version.resources.flatMap(
      (item: { resource: string; subresources?: { subresource: string }[] }) => [
        item.resource,
        ...(item.subresources ?? []).map((part) => `${item.resource}/${part.subresource}`),
      ],
    );
    assert.deepEqual(aggregated, old);
  }
  const index = JSON.parse((await ask("GET", "/openapi/v3")).text).paths;
  for (const { serverRelativeURL } of Object.values(index) as { serverRelativeURL: string }[]) {
    const { components, paths } = JSON.parse((await ask("GET", serverRelativeURL)).text);
    const text = JSON.stringify({ components, paths });
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
      assert.ok(components.schemas[name ?? ""], String(name));
  }
});

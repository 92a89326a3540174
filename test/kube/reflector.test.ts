import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterAccess } from "../../src/kube/access.ts";
import { fixedCredentials } from "../../src/kube/auth/credentials.ts";
import { FileCredentials } from "../../src/kube/auth/files.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { ClusterSource } from "../../src/kube/cluster.ts";
import type { ReflectorHooks, ReflectorTimings } from "../../src/kube/reflector.ts";
import type { Selection } from "../../src/kube/source.ts";
import { line, sendStatus, TestApiServer } from "./apiserver.ts";
import { Follower, keepLog, thingResource, until } from "./follower.ts";

const quick: ReflectorTimings = {
  listSilence: 300,
  watchSilence: 60_000,
  pauses: { first: 10, longest: 100 },
  watchLength: 300_000,
};

interface Setting {
  readonly timings?: Partial<ReflectorTimings>;
  readonly access?: Partial<ClusterAccess>;
  readonly selection?: Selection;
  readonly hooks?: ReflectorHooks;
  /** Before the server listens. */
  readonly prepare?: (server: TestApiServer) => void;
}

/** A server, and somebody who follows it. */
async function start(t: TestContext, { timings, access, selection, hooks, prepare }: Setting = {}) {
  const server = new TestApiServer();
  prepare?.(server);
  const port = await server.listen();
  const client = new KubeClient({
    server: new URL(`http://127.0.0.1:${port}`),
    insecure: false,
    credentials: fixedCredentials(),
    namespace: "default",
    origin: "test",
    ...access,
  });
  const { lines, log } = keepLog();
  const source = new ClusterSource(client, { log, timings: { ...quick, ...timings }, ...(hooks && { hooks }) });
  const resource = thingResource();
  const follower = new Follower(source, resource, selection);
  t.after(async () => {
    follower.stop();
    await client.destroy();
    await server.close();
  });
  return { server, port, client, follower, resource, lines, source };
}

const watchesOf = (server: TestApiServer) => server.requests.filter((url) => url.searchParams.get("watch") === "true");
const listsOf = (server: TestApiServer) => server.requests.filter((url) => url.searchParams.get("watch") === null);
const stateOf = (server: TestApiServer) =>
  [...server.objects.values()]
    .map(({ metadata, value }) => `${metadata.name}=${value}`)
    .sort()
    .join(" ");

test("a streamed first list is delivered together, then every change with what it replaces", async (t) => {
  const prepare = (api: TestApiServer) => {
    api.put("a", { value: 1 });
    api.put("b", { value: 2 });
  };
  const { server, follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.deepEqual(follower.events, ["+a=1", "+b=2"]);
  assert.deepEqual(follower.batches, [2]);
  server.put("a", { value: 3 });
  server.remove("b");
  server.put("c", { value: 4 });
  await until(() => follower.events.length === 5, "changes");
  assert.deepEqual(follower.events.slice(2), ["~a=3", "-b", "+c=4"]);
  assert.equal(server.requests.length, 1, "one request does it all");
  assert.equal(follower.synced, 1);
});

test("an empty list is synced too", async (t) => {
  const { follower } = await start(t);
  await until(() => follower.synced === 1, "synced");
  assert.deepEqual(follower.events, []);
});

test("where a server refuses streamed lists, it is listed in pages of 500", async (t) => {
  const prepare = (api: TestApiServer) => {
    api.streamedLists = "refuses";
    for (let i = 0; i < 1200; i++) api.put(`t${i}`, { value: i });
  };
  const { server, follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.things.size, 1200);
  assert.deepEqual(
    listsOf(server).map((url) => [url.searchParams.get("limit"), url.searchParams.has("continue")]),
    [
      ["500", false],
      ["500", true],
      ["500", true],
    ],
  );
  server.put("t0", { value: "new" });
  await until(() => follower.events.at(-1) === "~t0=new", "a change");
  assert.equal(watchesOf(server).at(-1)?.searchParams.get("resourceVersion"), "1300");
});

test("where a server ignores the wish for a streamed list, its silence leads to pages", async (t) => {
  const prepare = (api: TestApiServer) => {
    api.streamedLists = "ignores";
    api.put("a", { value: 1 });
  };
  const { server, follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.deepEqual(follower.events, ["+a=1"]);
  assert.equal(listsOf(server).length, 1);
});

test("after a disconnect the watch goes on where it was: nothing is missed, nothing comes twice", async (t) => {
  const { server, follower, resource } = await start(t, { prepare: (api) => api.put("a", { value: 1 }) });
  await until(() => follower.synced === 1, "synced");
  server.put("a", { value: 2 });
  await until(() => follower.events.length === 2, "a change");
  const version = server.version;
  server.cut();
  server.put("a", { value: 3 });
  server.put("b", { value: 1 });
  await until(() => follower.events.length === 4, "changes of meanwhile");
  assert.deepEqual(follower.events, ["+a=1", "~a=2", "~a=3", "+b=1"]);
  assert.equal(watchesOf(server).at(-1)?.searchParams.get("resourceVersion"), version);
  assert.equal(resource.projected, 4);
});

test("a bookmark moves the place where the watch goes on", async (t) => {
  const { server, follower } = await start(t);
  await until(() => follower.synced === 1, "synced");
  server.bookmark();
  server.put("a", { value: 1 });
  await until(() => follower.events.length === 1, "a change after the bookmark");
  server.bookmark();
  const version = server.version;
  await delay(50);
  server.cut();
  await until(() => watchesOf(server).length === 2, "watched again");
  assert.equal(watchesOf(server).at(-1)?.searchParams.get("resourceVersion"), version);
});

for (const how of ["in the watch", "as the answer"]) {
  test(`when history is gone (410 ${how}), a new list tells what changed and nothing else`, async (t) => {
    const prepare = (api: TestApiServer) => {
      for (const name of ["same", "changed", "gone", "reborn"]) api.put(name, { value: 1 });
    };
    const { server, follower, resource } = await start(t, { prepare });
    await until(() => follower.synced === 1, "synced");
    const projected = resource.projected;
    server.fault = (url, response) => {
      if (how === "in the watch" || !url.searchParams.has("resourceVersion")) return false;
      sendStatus(response, 410, "Gone", "too old");
      return true;
    };
    server.cut();
    server.remove("gone");
    server.put("changed", { value: 2 });
    server.remove("reborn");
    server.put("reborn", { value: 1 });
    server.put("new", { value: 1 });
    server.compact();
    await until(() => follower.things.has("new"), "the new list");
    assert.deepEqual(follower.events.slice(4), ["-gone", "-reborn", "~changed=2", "+reborn=1", "+new=1"]);
    assert.equal(resource.projected, projected + 3, "what is the same is not even read");
    assert.equal(follower.synced, 1);
  });
}

test("when a server has gone back in time, as after a restored backup, a new list tells what is there now", async (t) => {
  const { server, follower } = await start(t, { prepare: (api) => api.put("a", { value: 1 }) });
  await until(() => follower.synced === 1, "synced");
  server.fault = (url, response) => {
    if (!url.searchParams.has("resourceVersion")) return false;
    sendStatus(response, 504, "Timeout", "Too large resource version: 101, current: 7");
    return true;
  };
  server.cut();
  server.remove("a");
  server.put("b", { value: 1 });
  await until(() => follower.state === "b=1", "the new list");
});

test("a first list that breaks off in the middle is not delivered", async (t) => {
  let attempts = 0;
  const prepare = (api: TestApiServer) => {
    api.put("a", { value: 1 });
    api.fault = (_url, response) => {
      if (attempts++ > 0) return false;
      response.write(line("ADDED", { metadata: { name: "ghost", uid: "g", resourceVersion: "1" }, value: 0 }));
      response.write('{"type":"ADDED","object":{"metadata":{"name":"half');
      setTimeout(() => response.destroy(), 50);
      return true;
    };
  };
  const { follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.deepEqual(follower.events, ["+a=1"]);
});

test("pages whose continuation has expired give way to a list of everything at once", async (t) => {
  const prepare = (api: TestApiServer) => {
    api.streamedLists = "refuses";
    for (let i = 0; i < 700; i++) api.put(`t${i}`, { value: i });
    api.fault = (url, response) => {
      if (!url.searchParams.has("continue")) return false;
      sendStatus(response, 410, "Expired", "the provided continue parameter is too old");
      return true;
    };
  };
  const { server, follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.things.size, 700);
  assert.deepEqual(
    listsOf(server).map((url) => url.searchParams.get("limit")),
    ["500", "500", null],
  );
});

test("a watch that has become silent is made anew where it was", async (t) => {
  const { server, follower, lines } = await start(t, { timings: { watchSilence: 200 } });
  await until(() => follower.synced === 1, "synced");
  const version = server.version;
  await until(() => watchesOf(server).length >= 3, "watched again, twice");
  assert.equal(watchesOf(server).at(-1)?.searchParams.get("resourceVersion"), version);
  assert.equal(lines.filter((text) => text.startsWith("W")).length, 0, "nothing to warn of");
});

test("a server that accepts connections and never answers is given up on, and found again when it works", async (t) => {
  let hung = 0;
  const prepare = (api: TestApiServer) => {
    api.put("a", { value: 1 });
    // Each attempt: a streamed list, then pages; both hang.
    api.fault = () => hung++ < 1;
  };
  const { follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.equal(follower.state, "a=1");
});

const garbage = ["<html>502 Bad Gateway</html>\n", '{"type":"ADDED"}\n', '{"type":"MODIFIED","object":{"metadata":\n'];
for (const text of garbage) {
  test(`a watch with ${JSON.stringify(text)} in it is one warning, and goes on where it was`, async (t) => {
    const { server, follower, lines } = await start(t, { prepare: (api) => api.put("a", { value: 1 }) });
    await until(() => follower.synced === 1, "synced");
    server.put("a", { value: 2 });
    server.writeRaw(text);
    await until(() => watchesOf(server).length === 2, "watched again");
    server.put("a", { value: 3 });
    await until(() => follower.events.length === 3, "changes");
    assert.deepEqual(follower.events, ["+a=1", "~a=2", "~a=3"]);
    assert.equal(lines.filter((entry) => entry.startsWith("W")).length, 1);
    assert.match(lines.join("\n"), /Cannot watch, and goes on trying.*resource="things".*The server sent/);
  });
}

test("a server that is not there yet is warned of once, and followed when it comes", async (t) => {
  const server = new TestApiServer();
  const port = await server.listen();
  await server.close();
  const setting = { server: new URL(`http://127.0.0.1:${port}`) };
  const errors: string[] = [];
  const hooks = { onError: (resource: string) => void errors.push(resource) };
  const { follower, lines } = await start(t, { access: setting, hooks });
  await until(() => errors.length >= 4, "several attempts");
  assert.equal(lines.filter((text) => text.startsWith("W")).length, 1, lines.join("\n"));
  assert.match(lines.join("\n"), /ECONNREFUSED/);
  const late = new TestApiServer();
  late.put("a", { value: 1 });
  await late.listen(port);
  t.after(() => late.close());
  await until(() => follower.synced === 1, "synced");
  assert.match(lines.join("\n"), /Watches again/);
});

test("pauses between attempts grow, and a server may ask for longer ones", async (t) => {
  const times: number[] = [];
  const prepare = (api: TestApiServer) => {
    api.fault = (_url, response) => {
      times.push(performance.now());
      if (times.length > 5) return false;
      if (times.length === 5) response.setHeader("retry-after", "1");
      sendStatus(response, times.length === 5 ? 429 : 503, "Unavailable", "try later");
      return true;
    };
  };
  const { follower } = await start(t, { prepare, timings: { pauses: { first: 20, longest: 100 } } });
  await until(() => follower.synced === 1, "synced");
  const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  for (const [i, least] of [20, 40, 80, 100, 1000].entries()) {
    assert.ok((pauses[i] ?? 0) >= least - 2, `pause ${i} of ${pauses.map(Math.round).join(", ")}`);
  }
});

test("a token that has expired is read again, without a pause", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "portolan-token-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "old");
  const seen: (string | undefined)[] = [];
  const prepare = (api: TestApiServer) => {
    api.fault = (_url, response, { headers }) => {
      seen.push(headers.authorization);
      if (headers.authorization === "Bearer old" && seen.length < 3) return false;
      if (headers.authorization === "Bearer new") return false;
      sendStatus(response, 401, "Unauthorized", "Unauthorized");
      return true;
    };
  };
  const credentials = new FileCredentials({ tokenFile });
  const { server, follower } = await start(t, { prepare, access: { credentials } });
  await until(() => follower.synced === 1, "synced");
  server.cut();
  await until(() => seen.length === 2 && server.watches === 1, "watched again with the cached token");
  writeFileSync(tokenFile, "new");
  server.cut();
  await until(() => server.watches === 1 && seen.length === 4, "watched again with the new token");
  assert.deepEqual(seen, ["Bearer old", "Bearer old", "Bearer old", "Bearer new"]);
});

test("a malformed object is warned of once for each version, and the last good one stays", async (t) => {
  const prepare = (api: TestApiServer) => {
    api.put("a", { value: 1 });
    api.put("never", { value: "bad" });
  };
  const { server, follower, lines } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  const warnings = () => lines.filter((text) => text.includes("malformed"));
  assert.equal(follower.state, "a=1");
  assert.deepEqual(warnings().length, 1);
  assert.match(
    warnings()[0] ?? "",
    /kind="Thing" object="default\/never" problems=\["value: Invalid value: \\"bad\\""\]/,
  );
  server.put("a", { value: "bad" });
  server.put("b", { value: 1 });
  await until(() => follower.things.has("b"), "what comes after");
  assert.equal(follower.state, "a=1 b=1");
  server.compact();
  server.cut();
  server.put("c", { value: 1 });
  server.compact();
  await until(() => follower.things.has("c"), "the new list");
  assert.equal(follower.state, "a=1 b=1 c=1");
  assert.equal(warnings().length, 2, "once for each version");
  server.put("a", { value: 2 });
  server.put("b", { value: "ignored" });
  server.remove("never");
  await until(() => !follower.things.has("b"), "what became ignored is gone");
  assert.deepEqual(follower.events.slice(-2), ["~a=2", "-b"]);
});

test("namespace and selectors are asked for in every list and watch", async (t) => {
  const selection = { namespace: "shop", labels: "!canary,app=web", fields: "metadata.name=a" };
  const prepare = (api: TestApiServer) => {
    api.streamedLists = "refuses";
  };
  const { server, follower } = await start(t, { selection, prepare });
  await until(() => follower.synced === 1 && server.watches === 1, "synced");
  assert.equal(server.requests.length, 3);
  for (const url of server.requests) {
    assert.equal(url.pathname, "/apis/test.example/v1/namespaces/shop/things");
    assert.equal(url.searchParams.get("labelSelector"), "!canary,app=web");
    assert.equal(url.searchParams.get("fieldSelector"), "metadata.name=a");
  }
});

test("the end is the end: the connection is closed and nothing comes any more", async (t) => {
  const { server, follower } = await start(t);
  await until(() => follower.synced === 1, "synced");
  follower.stop();
  await until(() => server.watches === 0, "closed");
  server.put("a", { value: 1 });
  await delay(50);
  assert.deepEqual(follower.events, []);
  assert.equal(server.requests.length, 1);
});

test("lists, watches and errors are told to the hooks", async (t) => {
  const told: string[] = [];
  const hooks: ReflectorHooks = {
    onList: (resource, objects) => told.push(`list ${resource} ${objects}`),
    onWatch: (resource) => told.push(`watch ${resource}`),
    onError: (resource, error) => told.push(`error ${resource} ${error instanceof Error}`),
  };
  const { server } = await start(t, { hooks, prepare: (api) => api.put("a", { value: 1 }) });
  await until(() => told.length === 2, "list");
  server.writeRaw("garbage\n");
  await until(() => told.length === 4, "watch again");
  assert.deepEqual(told, ["watch things", "list things 1", "error things true", "watch things"]);
});

test("a first list of many objects leaves the event loop free between batches", async (t) => {
  const prepare = (api: TestApiServer) => {
    for (let i = 0; i < 2500; i++) api.put(`t${i}`, { value: i });
  };
  const { follower } = await start(t, { prepare });
  await until(() => follower.synced === 1, "synced");
  assert.deepEqual(follower.batches, [1000, 1000, 500]);
});

test("through cuts, lost history, garbage and refusals, what is known becomes what is there", async (t) => {
  let seed = 12345;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const { server, follower } = await start(t, { timings: { pauses: { first: 1, longest: 5 }, listSilence: 50 } });
  server.fault = (_url, response) => {
    const dice = random(8);
    if (dice === 0) response.destroy();
    else if (dice === 1) sendStatus(response, 500, "InternalError", "no");
    return dice < 2;
  };
  for (let step = 0; step < 1500; step++) {
    const name = `t${random(20)}`;
    const dice = random(100);
    if (dice < 55) server.put(name, { value: step });
    else if (dice < 80) server.remove(name);
    else if (dice < 85) server.cut();
    else if (dice < 87) server.compact();
    else if (dice < 88) server.writeRaw("{garbage\n");
    else if (dice < 90) server.bookmark();
    else if (dice < 91) server.streamedLists = ([true, "refuses", "ignores"] as const)[random(3)] ?? true;
    if (dice > 95) await delay(3);
  }
  server.fault = () => false;
  server.streamedLists = true;
  await until(() => follower.synced === 1 && follower.state === stateOf(server), "the same");
  assert.ok(follower.events.length > 100);
});

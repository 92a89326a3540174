/** What the embedded API server takes for 100 nodes' worth of objects: writes, lists, watches, memory. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent, type RequestOptions, request } from "node:https";
import { fileURLToPath } from "node:url";

/** Latencies in milliseconds. */
export interface Latency {
  readonly median: number;
  readonly p99: number;
  readonly worst: number;
}

/** What was measured. Bytes where it says memory or size, milliseconds otherwise. */
export interface ApiFigures {
  readonly services: number;
  readonly endpoints: number;
  readonly watchers: number;
  /** Creating Services, eight at a time: each with a cluster IP of its own. */
  readonly createService: Latency;
  readonly servicesPerSecond: number;
  readonly createSlice: Latency;
  readonly listServices: number;
  readonly listSlices: number;
  readonly sizeOfSlices: number;
  readonly tableOfServices: number;
  /** From the first request until all objects of a watch with initial events are there. */
  readonly watchInitial: number;
  /** Changing one slice while all watchers follow. */
  readonly changeSlice: Latency;
  /** From the start of a change until every watcher has it. */
  readonly changeSeenByAll: Latency;
  /** The server's memory with everything in it. */
  readonly rss: number;
  readonly heap: number;
  readonly peakRss: number;
}

interface Target {
  readonly url: string;
  readonly token: string;
  readonly ca: string;
}

const slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const perSlice = 4;

/** Fills a server with objects and measures it. */
export async function benchApi(services = 5_000, endpoints = 20_000, watchers = 100): Promise<ApiFigures> {
  const execArgv = ["--disable-warning=ExperimentalWarning", "--expose-gc"];
  const child = fork(fileURLToPath(new URL("./api/server.ts", import.meta.url)), [], { execArgv });
  try {
    const [target] = (await once(child, "message")) as [Target];
    return await measure(child, target, services, endpoints, watchers);
  } finally {
    child.send("stop");
    await once(child, "exit");
  }
}

async function measure(
  child: ChildProcess,
  target: Target,
  services: number,
  endpoints: number,
  watchers: number,
): Promise<ApiFigures> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const ask = (method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) =>
    call(target, agent, method, path, body, headers);
  const begun = performance.now();
  const createService = await inParallel(services, (i) =>
    ask("POST", "/api/v1/namespaces/default/services", service(i)),
  );
  const servicesPerSecond = services / ((performance.now() - begun) / 1000);
  const count = Math.ceil(endpoints / perSlice);
  const createSlice = await inParallel(count, (i) => ask("POST", slices, slice(i, services)));
  const timed = async (path: string, headers: Readonly<Record<string, string>> = {}) => {
    const start = performance.now();
    const text = await ask("GET", path, undefined, headers);
    return { milliseconds: performance.now() - start, size: text.length };
  };
  const listServices = await timed("/api/v1/services");
  const listSlices = await timed("/apis/discovery.k8s.io/v1/endpointslices");
  const table = await timed("/api/v1/services", { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
  const initialStart = performance.now();
  const first = await follow(
    target,
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
  );
  await first.until((text) => text.includes("initial-events-end"));
  const watchInitial = performance.now() - initialStart;
  first.close();
  const version = JSON.parse(await ask("GET", `${slices}?limit=1`)).metadata.resourceVersion;
  const following = await Promise.all(
    Array.from({ length: watchers }, () => follow(target, `resourceVersion=${version}`)),
  );
  const writes: number[] = [];
  const seen: number[] = [];
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    const mark = `change-${i}-`;
    const all = Promise.all(following.map((watch) => watch.until((text) => text.includes(mark))));
    const patch = { metadata: { annotations: { mark } } };
    await ask("PATCH", `${slices}/slice-${i}`, patch, { "content-type": "application/merge-patch+json" });
    writes.push(performance.now() - start);
    await all;
    seen.push(performance.now() - start);
  }
  const memory = once(child, "message") as Promise<[{ rss: number; heap: number; peakRss: number }]>;
  child.send("memory");
  const [used] = await memory;
  for (const watch of following) watch.close();
  agent.destroy();
  return {
    services,
    endpoints,
    watchers,
    createService: latency(createService),
    servicesPerSecond,
    createSlice: latency(createSlice),
    listServices: listServices.milliseconds,
    listSlices: listSlices.milliseconds,
    sizeOfSlices: listSlices.size,
    tableOfServices: table.milliseconds,
    watchInitial,
    changeSlice: latency(writes),
    changeSeenByAll: latency(seen),
    ...used,
  };
}

function service(i: number): unknown {
  const name = `service-${i}`;
  const ports = [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "metrics", port: 9090 },
  ];
  return { metadata: { name, labels: { app: name } }, spec: { ports } };
}

function slice(i: number, services: number): unknown {
  const endpoints = Array.from({ length: perSlice }, (_, k) => {
    const n = i * perSlice + k;
    return {
      addresses: [`10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${n % 100}`,
      targetRef: {
        kind: "Pod",
        namespace: "default",
        name: `pod-${n}`,
        uid: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
      },
      zone: `zone-${n % 3}`,
    };
  });
  const labels = { "kubernetes.io/service-name": `service-${i % services}` };
  return {
    metadata: { name: `slice-${i}`, labels },
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  };
}

/** Runs a number of tasks, eight at a time; the milliseconds that each took. */
async function inParallel(count: number, task: (i: number) => Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const i = next++;
      const start = performance.now();
      await task(i);
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return times;
}

function optionsOf(target: Target, method: string, path: string): RequestOptions {
  const { hostname, port } = new URL(target.url);
  return { hostname, port, path, method, ca: target.ca, headers: { authorization: `Bearer ${target.token}` } };
}

async function call(
  target: Target,
  agent: Agent,
  method: string,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const options = optionsOf(target, method, path);
  const exchange = request({
    ...options,
    agent,
    headers: { "content-type": "application/json", ...options.headers, ...headers },
  });
  exchange.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = await once(exchange, "response");
  let text = "";
  response.setEncoding("utf8");
  for await (const part of response) text += part;
  if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`);
  return text;
}

/** A watch of slices; `until` waits for text that came since it was last called. */
async function follow(
  target: Target,
  query: string,
): Promise<{ until(found: (text: string) => boolean): Promise<void>; close(): void }> {
  const exchange = request({ ...optionsOf(target, "GET", `${slices}?watch=true&${query}`), agent: false });
  exchange.end();
  const [response] = await once(exchange, "response");
  let text = "";
  let notify = () => {};
  response.setEncoding("utf8");
  response.on("data", (part: string) => {
    // What was looked at is forgotten, but for a tail that the next part may complete.
    text = text.slice(-200) + part;
    notify();
  });
  response.on("error", () => undefined);
  return {
    until: (found) =>
      new Promise((resolve) => {
        notify = () => {
          if (found(text)) resolve();
        };
        notify();
      }),
    close: () => exchange.destroy(),
  };
}

function latency(times: readonly number[]): Latency {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { median: at(0.5), p99: at(0.99), worst: at(1) };
}

if (import.meta.main) {
  const [services, endpoints, watchers] = process.argv.slice(2).map(Number);
  console.dir(await benchApi(services, endpoints, watchers), { depth: 3 });
}

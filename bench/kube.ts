/** What it costs to follow a large cluster: all of its EndpointSlices, from the first request until they are known. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What one way of listing took. */
export interface ReflectorFigures {
  /** Objects and the way they came: a streamed list, or one large list. */
  readonly objects: number;
  readonly way: "streamed" | "listed";
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly peakRss: number;
  /** Bytes of heap that the kept objects take, after garbage collection. */
  readonly heap: number;
  /** Milliseconds of the longest time that the event loop did not turn. */
  readonly longestBlock: number;
}

/** Follows that many EndpointSlices of a server in another process, once each way. */
export async function benchReflector(objects = 100_000): Promise<readonly ReflectorFigures[]> {
  const figures: ReflectorFigures[] = [];
  for (const way of ["streamed", "listed"] as const) {
    const server = start("./kube/server.ts", [String(objects), way]);
    try {
      const [port] = await once(server, "message");
      const client = start("./kube/client.ts", [String(port)], ["--expose-gc"]);
      const [measured] = await once(client, "message");
      figures.push({ objects, way, ...measured });
    } finally {
      server.kill();
    }
  }
  return figures;
}

function start(file: string, args: readonly string[], flags: readonly string[] = []) {
  const execArgv = ["--disable-warning=ExperimentalWarning", ...flags];
  return fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv });
}

if (import.meta.main) console.table(await benchReflector(Number(process.argv[2] ?? 100_000)));

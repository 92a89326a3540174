/** The API server in a process of its own, for bench/api.ts: says where it is, and on demand how much memory it takes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startApiServer } from "../../src/kube/server/server.ts";

const directory = mkdtempSync(join(tmpdir(), "ptl-bench-api-"));
const server = await startApiServer({ directory });
process.on("message", (message) => {
  if (message === "memory") {
    globalThis.gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    process.send?.({ rss, heap: heapUsed, peakRss: process.resourceUsage().maxRSS * 1024 });
  } else {
    void server.stop().then(() => {
      rmSync(directory, { recursive: true, force: true });
      process.exit(0);
    });
  }
});
process.send?.({ url: server.url, token: server.credentials.token, ca: server.credentials.authority.certificate });

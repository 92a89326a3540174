/** The thread in which the servers of containers run. */
import { parentPort } from "node:worker_threads";
import { BoundedLog } from "./log.ts";
import { ContainerServer, type ServedPlace } from "./server.ts";

/** What the thread is asked to do with a container's server. */
export type ServerRequest =
  | { readonly type: "start"; readonly id: number; readonly place: ServedPlace; readonly logFile: string }
  | { readonly type: "terminate" | "kill"; readonly id: number };

/** A server has ended. */
export interface ServerExit {
  readonly id: number;
  readonly code: number;
}

/** The exit status of what was killed (128 and the signal's number, as shells have it). */
const killed = 137;

const servers = new Map<number, ContainerServer>();

parentPort?.on("message", (request: ServerRequest) => {
  switch (request.type) {
    case "start": {
      const log = new BoundedLog(request.logFile);
      const { id } = request;
      const exited = (code: number) => {
        servers.delete(id);
        parentPort?.postMessage({ id, code } satisfies ServerExit);
      };
      const server = new ContainerServer(request.place, exited, (line) => log.line(line));
      servers.set(id, server);
      void server.start();
      break;
    }
    case "terminate":
      void servers.get(request.id)?.terminate();
      break;
    case "kill":
      servers.get(request.id)?.end(killed);
  }
});

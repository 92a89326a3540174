/** An API server as a program, for tests that need it in a namespace: DIRECTORY is its state, port 6443. */
import { startApiServer } from "../../src/kube/server/server.ts";

const server = await startApiServer({ directory: process.argv[2] ?? "", port: 6443 });
process.stdout.write(`${server.credentials.token}\n`);
process.on("SIGTERM", () => void server.stop());

/** A thread inside a namespace: it serves HTTP as a pod, or sends requests from there. */
import { Agent, createServer, get } from "node:http";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { enterNamespace } from "../../kernel/namespace.ts";

/** What a request came to: the answer's text, or why there was none. */
export type Answer =
  | { readonly kind: "answer"; readonly text: string }
  | { readonly kind: "failure"; readonly why: string };

/** How long a request may take, in milliseconds. */
const patience = 1000;

/** A thread in a namespace that sends HTTP requests. */
export class Client {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #last = 0;

  constructor(namespace: string) {
    this.#worker = startWorker({ role: "client", namespace });
    this.#worker.on("message", ({ id, answer }: { readonly id: number; readonly answer: Answer }) => {
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
  }

  /** Asks once, over a connection of its own. Never rejects. */
  request(url: string): Promise<Answer> {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#waiting.set(id, resolve);
    this.#worker.postMessage({ id, url });
    return promise;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Starts a thread that answers on a port of a namespace with `text` and the client's address. @returns how to end it. */
export async function startPod(namespace: string, name: string, port: number): Promise<() => Promise<void>> {
  const worker = startWorker({ role: "pod", namespace, name, port });
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("error", reject);
  });
  return async () => {
    await worker.terminate();
  };
}

type Role =
  | { readonly role: "client"; readonly namespace: string }
  | { readonly role: "pod"; readonly namespace: string; readonly name: string; readonly port: number };

function startWorker(role: Role): Worker {
  return new Worker(fileURLToPath(import.meta.url), { workerData: role });
}

function serve(name: string, port: number): void {
  const server = createServer((request, response) => {
    const from = request.socket.remoteAddress?.replace("::ffff:", "") ?? "?";
    response.setHeader("connection", "close");
    response.end(JSON.stringify({ pod: name, from }));
  });
  server.listen(port, "0.0.0.0", () => parentPort?.postMessage("listening"));
}

function answerRequests(): void {
  const agent = new Agent({ keepAlive: false });
  parentPort?.on("message", ({ id, url }: { readonly id: number; readonly url: string }) => {
    const reply = (answer: Answer) => parentPort?.postMessage({ id, answer });
    const request = get(url, { agent, timeout: patience }, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      reply({ kind: "answer", text });
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", (error: NodeJS.ErrnoException) => reply({ kind: "failure", why: error.code ?? error.message }));
  });
}

if (!isMainThread && parentPort !== null) {
  const role = workerData as Role;
  enterNamespace(role.namespace);
  if (role.role === "pod") serve(role.name, role.port);
  else answerRequests();
}

/** The server that stands in for an image: HTTP and lines of text on TCP ports, datagrams on UDP ports. */
import { once } from "node:events";
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { inNamespace } from "../../kernel/namespace.ts";
import { listenInside } from "../../kernel/sockets/tcp.ts";
import { peerAddress, peerPort, UdpSocket } from "../../kernel/sockets/udp.ts";
import { parseAddress } from "../../net/address.ts";
import {
  answerLine,
  answerRequest,
  type Ends,
  type Health,
  type HttpAnswer,
  type Identity,
  plainAddress,
  type ServerSettings,
} from "./answer.ts";

/** Where and how a container is served. */
export interface ServedPlace {
  readonly namespace: string;
  readonly identity: Identity;
  readonly settings: ServerSettings;
}

/** Bytes of a request's body, or of a line, that are kept. */
const maximumInput = 1 << 20;
const anyAddress = parseAddress("::");
const requestLine = /^[A-Z]{3,10} \S* HTTP\/1/;

/** The server of one container, from its start to its end. */
export class ContainerServer {
  readonly #place: ServedPlace;
  readonly #log: (line: string) => void;
  readonly #exited: (code: number) => void;
  readonly #stop = new AbortController();
  readonly #tcp: Server[] = [];
  readonly #udp: UdpSocket[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #http: HttpServer;
  readonly #health: Health;
  #ending = false;

  /**
   * @param exited is called once, with the container's exit status: 0 where it was asked to end.
   * @param log gets a line for each thing that happens.
   */
  constructor(place: ServedPlace, exited: (code: number) => void, log: (line: string) => void) {
    this.#place = place;
    this.#log = log;
    this.#exited = exited;
    this.#health = { ready: place.settings.ready, healthy: true };
    this.#http = createHttpServer((request, response) => void this.#answer(request, response));
    this.#http.on("clientError", (_, socket) => socket.destroy());
  }

  /** Listens, after the delay that the settings ask for. A port that cannot be had ends the container with status 1. */
  async start(): Promise<void> {
    const { settings, namespace } = this.#place;
    try {
      await sleep(settings.startupDelay, undefined, { signal: this.#stop.signal });
      for (const port of settings.tcp) {
        const server = createServer((socket) => this.#accept(socket));
        this.#tcp.push(server);
        listenInside(namespace, server, port);
        await once(server, "listening");
        this.#log(`Listens on TCP port ${port}`);
      }
      for (const port of settings.udp) {
        const socket = inNamespace(namespace, () => new UdpSocket({ address: anyAddress, port, batch: 8 }));
        this.#udp.push(socket);
        socket.start((datagram, from) => {
          const ends = { client: peerAddress(from), clientPort: peerPort(from), server: "", serverPort: port };
          socket.send(Buffer.from(answerLine(Buffer.from(datagram).toString(), this.#place.identity, ends)), from);
        });
        this.#log(`Listens on UDP port ${port}`);
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#log(`Cannot listen: ${error instanceof Error ? error.message : error}`);
      this.end(1);
    }
  }

  /** Ends as a good server does: serves on for a while, tells its clients to connect anew, then ends with status 0. */
  async terminate(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#log("Asked to end");
    await sleep(this.#place.settings.shutdownDelay);
    if (this.#stop.signal.aborted) return;
    for (const server of this.#tcp) server.close();
    this.#http.closeIdleConnections();
    for (const socket of this.#sockets) if (idle(socket)) socket.end();
    while (this.#sockets.size > 0 && !this.#stop.signal.aborted) await sleep(10);
    this.end(0);
  }

  /** Ends at once. */
  end(code: number): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    for (const server of this.#tcp) server.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const socket of this.#udp) socket.close();
    this.#log(`Ends with status ${code}`);
    this.#exited(code);
  }

  /** The first bytes tell whether it is HTTP. */
  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.once("data", (data) => {
      const text = data.toString("latin1");
      if (requestLine.test(text)) {
        socket.pause();
        this.#http.emit("connection", socket);
        socket.unshift(data);
        socket.resume();
      } else this.#converse(socket, text);
    });
  }

  /** Answers line by line, until the client ends. */
  #converse(socket: Socket, first: string): void {
    let rest = "";
    const take = (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > maximumInput) socket.destroy();
      for (const line of lines) socket.write(`${answerLine(line, this.#place.identity, endsOf(socket))}\n`);
    };
    socket.on("data", (data) => take(data.toString("latin1")));
    take(first);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ends = endsOf(request.socket);
    const { method = "GET", url = "/" } = request;
    let body = "";
    try {
      for await (const piece of request) if (body.length < maximumInput) body += piece;
    } catch {
      return;
    }
    const answer = this.#decide(url, body, ends);
    this.#log(`${method} ${url.slice(0, 200)} ${answer.status} from ${ends.client}:${ends.clientPort}`);
    if (answer.delay > 0) await sleep(answer.delay);
    if (this.#ending) response.setHeader("connection", "close");
    response.writeHead(answer.status, {
      "content-type": answer.type,
      "content-length": Buffer.byteLength(answer.body),
    });
    response.end(answer.body, () => {
      if (answer.exit !== undefined) this.end(answer.exit);
    });
  }

  #decide(url: string, body: string, ends: Ends): HttpAnswer {
    try {
      return answerRequest(url, body, this.#place.identity, ends, this.#health);
    } catch {
      return { status: 400, body: "not a URL\n", type: "text/plain", delay: 0 };
    }
  }
}

/** Whether nothing has come over a connection yet. */
function idle(socket: Socket): boolean {
  return socket.bytesRead === 0;
}

function endsOf({ remoteAddress, remotePort = 0, localAddress, localPort = 0 }: Socket): Ends {
  return {
    client: plainAddress(remoteAddress),
    clientPort: remotePort,
    server: plainAddress(localAddress),
    serverPort: localPort,
  };
}

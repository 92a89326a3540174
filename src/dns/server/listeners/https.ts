/** DNS over HTTPS (RFC 8484), at the path /dns-query, over HTTP/2 and HTTP/1.1. */
import { decodeMessage } from "../../wire/message.ts";
import type { ListenAddress, Listener, ListenerContext } from "./listener.ts";
import { listenWeb, readBody, type WebRequest, type WebResponse } from "./web.ts";

const mediaType = "application/dns-message";
const maxQuery = 65535;

/** Opens the port. `count` is told the status of each response. */
export function listenHttps(
  listen: ListenAddress,
  { settings }: ListenerContext,
  count: (status: number) => void,
): Promise<Listener> {
  const limits = { connections: settings.httpsMaxConnections, streams: 250 };
  return listenWeb(listen, settings, limits, async (request, response, ask) => {
    count(await answer(request, response, (query) => ask(query, "https")));
  });
}

async function answer(
  request: WebRequest,
  response: WebResponse,
  ask: (query: Buffer) => Promise<Buffer | undefined>,
): Promise<number> {
  const url = new URL(`http://host${request.url?.startsWith("/") ? request.url : "/"}`);
  if (url.pathname !== "/dns-query") return fail(response, 404, "the path is /dns-query");
  const query = await readQuery(request, url);
  if (typeof query === "string") return fail(response, 400, query);
  const bytes = await ask(query);
  if (bytes === undefined) return fail(response, 500, "no response");
  const headers = {
    "content-type": mediaType,
    "content-length": bytes.length,
    "cache-control": `max-age=${minimumTtl(bytes)}`,
  };
  send(response, 200, headers, bytes);
  return 200;
}

/** The query of a GET or POST request, or what is wrong with it. */
async function readQuery(request: WebRequest, url: URL): Promise<Buffer | string> {
  if (request.method === "GET") {
    const text = url.searchParams.get("dns");
    if (text === null || !/^[A-Za-z0-9_-]+$/.test(text)) return "the parameter dns must be a message in base64url";
    return Buffer.from(text, "base64url");
  }
  if (request.method !== "POST") return "the method must be GET or POST";
  if (request.headers["content-type"] !== mediaType) return `the content type must be ${mediaType}`;
  return (await readBody(request, maxQuery)) ?? "the message is too long";
}

/** Seconds that a cache may keep the reply: the smallest TTL in it. */
function minimumTtl(bytes: Buffer): number {
  const { answer, authority, additional } = decodeMessage(bytes);
  const ttls = [...answer, ...authority, ...additional].map(({ ttl }) => ttl);
  return ttls.length === 0 ? 5 : Math.min(...ttls);
}

function fail(response: WebResponse, status: number, message: string): number {
  send(response, status, { "content-type": "text/plain; charset=utf-8" }, Buffer.from(`${message}\n`));
  return status;
}

function send(response: WebResponse, status: number, headers: Record<string, string | number>, body: Buffer): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  // The two versions declare the same method in types that cannot be called as a union.
  (response as { end(body: Buffer): unknown }).end(body);
}

/** Header blocks of SPDY/3 (draft-mbelshe-httpbis-spdy-00, section 2.6.10): names and values, compressed by zlib. */
import { createInflate, type Inflate } from "node:zlib";

/** Names that stand in the dictionary, each with its length before it. */
const words =
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin";
/** What follows them, without lengths. */
const rest =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/** The dictionary with which both ends begin. */
export const dictionary = Buffer.concat([
  ...words.split(" ").map((word) => withLength(word.replace("_", " "))),
  Buffer.from(rest),
]);

/** Bytes that the headers of one stream may have. */
const limit = 16 * 1024;

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Reads the header blocks of one connection, which are one compressed text. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({ dictionary });
  #text: Buffer = Buffer.alloc(0);
  #error: Error | undefined;
  #more: () => void = () => undefined;

  constructor() {
    this.#inflate.on("data", (bytes: Buffer) => {
      this.#text = Buffer.concat([this.#text, bytes]);
      this.#more();
    });
    this.#inflate.on("error", (error) => {
      this.#error = error;
      this.#more();
    });
  }

  /** The headers of the next block. @throws an Error if it cannot be read or is too long. */
  async read(block: Uint8Array): Promise<ReadonlyMap<string, string>> {
    const arrived = new Promise<void>((resolve) => {
      this.#more = resolve;
    });
    this.#inflate.write(block);
    let next = arrived;
    for (;;) {
      await next;
      if (this.#error !== undefined) throw this.#error;
      const found = parseHeaders(this.#text);
      if (found !== undefined) {
        this.#text = this.#text.subarray(found.size);
        return found.headers;
      }
      if (this.#text.length > limit) throw new Error(`the headers of a stream may have ${limit} bytes`);
      next = new Promise((resolve) => {
        this.#more = resolve;
      });
    }
  }

  close(): void {
    this.#inflate.destroy();
  }
}

/** Headers as they are before compression, and their size; undefined if some of them are missing. */
export function parseHeaders(
  text: Buffer,
): { readonly headers: ReadonlyMap<string, string>; readonly size: number } | undefined {
  let at = 0;
  const number = () => {
    if (at + 4 > text.length) return undefined;
    at += 4;
    return text.readUInt32BE(at - 4);
  };
  const word = () => {
    const length = number();
    if (length !== undefined && length > limit) throw new Error(`a header may have ${limit} bytes`);
    if (length === undefined || at + length > text.length) return undefined;
    at += length;
    return text.toString("latin1", at - length, at);
  };
  const count = number();
  if (count === undefined) return undefined;
  if (count > limit / 8) throw new Error("there are too many headers");
  const headers = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const name = word();
    const value = name === undefined ? undefined : word();
    if (name === undefined || value === undefined) return undefined;
    headers.set(name.toLowerCase(), value);
  }
  return { headers, size: at };
}

/** Headers before compression. */
export function formatHeaders(headers: ReadonlyMap<string, string>): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(headers.size);
  return Buffer.concat([count, ...[...headers].flatMap(([name, value]) => [withLength(name), withLength(value)])]);
}

/** A block without headers, for the first answer of a connection and for those after it: zlib's form of stored bytes. */
export function emptyBlock(first: boolean): Buffer {
  const text = formatHeaders(new Map());
  const stored = Buffer.from([0, text.length, 0, ~text.length & 0xff, 0xff]);
  // An empty block behind it tells the reader that it has everything.
  const flush = Buffer.from([0, 0, 0, 0xff, 0xff]);
  return Buffer.concat([first ? Buffer.from([0x78, 0x01]) : Buffer.alloc(0), stored, text, flush]);
}

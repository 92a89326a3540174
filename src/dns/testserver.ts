/** A DNS server on a loopback port that answers as a test's script says: what plugins that ask others are tested with. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { questionOf } from "./testing.ts";
import { tryParseRcode } from "./wire/codes.ts";
import { decodeMessage, encodeCopy, type Message } from "./wire/message.ts";
import { parseRecord } from "./wire/parse.ts";
import { Writer } from "./wire/writer.ts";

/**
 * Lines of a reply: a response code, `tc`, `silent` (no reply), `wrong-id`, `wrong-question`, or records, those for
 * other sections marked with `authority` or `additional`.
 */
export type Script = readonly string[];

/** The server. It listens on one port for UDP and TCP. */
export interface ScriptedServer {
  readonly port: number;
  /** Replies by question, `name. TYPE` in lower case. */
  readonly script: Record<string, Script>;
  /** The reply to all other questions. */
  otherwise: Script;
  /** How many queries came. */
  readonly asked: number;
  /** Queries as they came, with `udp` or `tcp` in front of the question. */
  readonly questions: readonly string[];
  readonly last: Message | undefined;
  reset(): void;
  close(): void;
}

const writer = new Writer();

/** Starts it. */
export async function scriptedServer(): Promise<ScriptedServer> {
  const state = { script: {} as Record<string, Script>, otherwise: ["REFUSED"] as Script, questions: [] as string[] };
  let last: Message | undefined;
  const answer = (bytes: Uint8Array, protocol: "udp" | "tcp"): Uint8Array | undefined => {
    const query = decodeMessage(bytes);
    last = query;
    const question = questionOf(query);
    state.questions.push(`${protocol} ${question}`);
    const [name = "", type = ""] = question.split(" ");
    return encodeReply(query, state.script[`${name.toLowerCase()} ${type}`] ?? state.otherwise, protocol);
  };
  const tcp = createServer((socket) => serveTcp(socket, (bytes) => answer(bytes, "tcp")));
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const address = tcp.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const udp = createSocket("udp4");
  udp.on("message", (bytes, from) => {
    const reply = answer(bytes, "udp");
    if (reply !== undefined) udp.send(reply, from.port, from.address);
  });
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");
  return {
    port,
    script: state.script,
    get otherwise() {
      return state.otherwise;
    },
    set otherwise(script) {
      state.otherwise = script;
    },
    get asked() {
      return state.questions.length;
    },
    get questions() {
      return state.questions;
    },
    get last() {
      return last;
    },
    reset() {
      for (const key of Object.keys(state.script)) delete state.script[key];
      state.otherwise = ["REFUSED"];
      state.questions.length = 0;
    },
    close() {
      udp.close();
      tcp.close();
    },
  };
}

function encodeReply(query: Message, script: Script, protocol: "udp" | "tcp"): Uint8Array | undefined {
  const sections = {
    answer: [] as Message["answer"][number][],
    authority: [] as Message["answer"][number][],
    additional: [] as Message["answer"][number][],
  };
  let { id, questions } = query;
  let rcode = 0;
  let tc = false;
  for (const line of script) {
    const code = tryParseRcode(line);
    if (code !== undefined) rcode = code;
    else if (line === "tc") tc = protocol === "udp";
    else if (line === "silent") return undefined;
    else if (line === "wrong-id") id = (id + 1) & 0xffff;
    else if (line === "wrong-question") questions = questions.map((one) => ({ ...one, name: "other.example." }));
    else if (line.startsWith("authority ")) sections.authority.push(parseRecord(line.slice(10)));
    else if (line.startsWith("additional ")) sections.additional.push(parseRecord(line.slice(11)));
    else sections.answer.push(parseRecord(line));
  }
  return encodeCopy(writer, { ...query, ...sections, id, questions, rcode, tc, qr: true, ra: true });
}

function serveTcp(socket: Socket, answer: (bytes: Uint8Array) => Uint8Array | undefined): void {
  let buffer = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes: Buffer) => {
    buffer = Buffer.concat([buffer, bytes]);
    while (buffer.length >= 2 && buffer.length >= 2 + buffer.readUInt16BE(0)) {
      const length = buffer.readUInt16BE(0);
      const reply = answer(buffer.subarray(2, 2 + length));
      buffer = buffer.subarray(2 + length);
      if (reply !== undefined)
        socket.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]));
    }
  });
}

/** The log of a container: a file that does not grow without bound, each line with the time at which it was begun. */
import { appendFileSync, renameSync, statSync } from "node:fs";

/** Bytes after which a log is put aside, in the place of the one that was put aside before. */
const maximumLength = 4 << 20;
/** Characters of a time as Date's toISOString() has it, and a blank. */
const stampLength = 25;

/** Appends to a log file, and keeps it and the one before short. */
export class BoundedLog {
  readonly #path: string;
  #length: number;
  /** Whether the last line has not come to its end. */
  #inside = false;

  constructor(path: string) {
    this.#path = path;
    this.#length = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Appends. A disk that is full, or a folder that is gone, must not end a pod: then lines are lost. */
  append(text: string | Uint8Array): void {
    try {
      if (this.#length > maximumLength) {
        renameSync(this.#path, `${this.#path}.1`);
        this.#length = 0;
        this.#inside = false;
      }
      // Bytes stay what they are, whatever they mean.
      const bytes = Buffer.from(text).toString("latin1");
      const stamp = `${new Date().toISOString()} `;
      const stamped = bytes.replace(/\n(?!$)/g, `\n${stamp}`);
      const whole = Buffer.from(this.#inside || bytes === "" ? stamped : stamp + stamped, "latin1");
      appendFileSync(this.#path, whole);
      this.#length += whole.length;
      if (bytes !== "") this.#inside = !bytes.endsWith("\n");
    } catch {
      // See above.
    }
  }

  /** Appends a line with the time before it. */
  line(text: string): void {
    this.append(`${new Date().toISOString()} ${text}\n`);
  }
}

/** What of a log is wanted. */
export interface LogView {
  /** True to have the time before each line. */
  readonly timestamps?: boolean;
  /** Milliseconds since the epoch: lines begun earlier are left out. */
  readonly since?: number;
}

/** What a log says, of which a file has been read in pieces: as many pieces, some of them empty. */
export async function* readLog(
  pieces: AsyncIterable<string>,
  { timestamps = false, since = 0 }: LogView,
): AsyncIterable<string> {
  let rest = "";
  let [inside, shown] = [false, true];
  for await (const piece of pieces) {
    const text = rest + piece;
    rest = "";
    let out = "";
    for (let at = 0; at < text.length; ) {
      if (!inside) {
        if (text.length - at < stampLength) {
          rest = text.slice(at);
          break;
        }
        const stamp = text.slice(at, at + stampLength);
        shown = since === 0 || Date.parse(stamp.trimEnd()) >= since;
        if (shown && timestamps) out += stamp;
        at += stampLength;
      }
      const end = text.indexOf("\n", at);
      const next = end < 0 ? text.length : end + 1;
      if (shown) out += text.slice(at, next);
      at = next;
      inside = end < 0;
    }
    yield out;
  }
}

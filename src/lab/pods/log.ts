/** The log of a container: a file that does not grow without bound. */
import { appendFileSync, renameSync, statSync } from "node:fs";

/** Bytes after which a log is put aside, in the place of the one that was put aside before. */
const maximumLength = 4 << 20;

/** Appends to a log file, and keeps it and the one before short. */
export class BoundedLog {
  readonly #path: string;
  #length: number;

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
      }
      appendFileSync(this.#path, text);
      this.#length += text.length;
    } catch {
      // See above.
    }
  }

  /** Appends a line with the time before it. */
  line(text: string): void {
    this.append(`${new Date().toISOString()} ${text}\n`);
  }
}

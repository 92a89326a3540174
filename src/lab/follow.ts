/** Reads a file that may be growing. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { systemClock } from "../telemetry/clock.ts";

/** Milliseconds between two looks. */
const look = 200;
/** Bytes read at once: a whole log, which is bounded, comes in one piece. */
const piece = 5 << 20;

/**
 * The content of a file, and with `follow` what is added to it until the signal is aborted, or a moment after `ended`
 * has settled.
 */
export async function* readGrowing(
  path: string,
  follow: boolean,
  signal: AbortSignal,
  ended?: Promise<unknown>,
): AsyncIterable<string> {
  let last = !follow;
  // What was said at the end may still be on its way to the file.
  void ended
    ?.then(() => systemClock.sleep(look, signal))
    .then(() => {
      last = true;
    });
  const buffer = Buffer.alloc(piece);
  let fd = openSync(path, "r");
  let at = 0;
  try {
    for (;;) {
      const isLast = last;
      const count = readSync(fd, buffer, 0, piece, at);
      if (count > 0 || at === 0) yield buffer.toString("utf8", 0, count);
      at += count;
      if (count === piece) continue;
      if (isLast || !(await systemClock.sleep(look, signal))) return;
      // A log that grew too long begins anew, as another file; one that is gone has come to its end.
      if (!existsSync(path)) return;
      const next = openSync(path, "r");
      if (fstatSync(next).ino === fstatSync(fd).ino) closeSync(next);
      else {
        closeSync(fd);
        fd = next;
        at = 0;
      }
    }
  } finally {
    closeSync(fd);
  }
}

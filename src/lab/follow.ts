/** Reads a file that may be growing. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { systemClock } from "../telemetry/clock.ts";

/** Milliseconds between two looks. */
const look = 200;
const piece = 65_536;

/** Hands over the content of a file, and with `follow` what is added to it until the signal is aborted. */
export async function followFile(
  path: string,
  out: (text: string) => void,
  follow: boolean,
  signal: AbortSignal,
): Promise<void> {
  const buffer = Buffer.alloc(piece);
  let fd = openSync(path, "r");
  let at = 0;
  try {
    for (;;) {
      const count = readSync(fd, buffer, 0, piece, at);
      at += count;
      if (count > 0) out(buffer.toString("utf8", 0, count));
      if (count === piece) continue;
      if (!follow || !(await systemClock.sleep(look, signal))) return;
      // A log that grew too long begins anew, as another file.
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

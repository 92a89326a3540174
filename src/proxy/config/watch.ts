/** Tells when a file has other content, however it was changed: in place, by renaming, or as a mounted ConfigMap. */
import { type FSWatcher, readFileSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../telemetry/clock.ts";
import type { Logger } from "../../telemetry/log.ts";

/** Writers take a moment between truncating a file and filling it. */
const quietMs = 100;

/**
 * Calls `onChange` with the new text when the file's content changes, until the signal is aborted. The file's folder is
 * watched, because a file that is replaced is another one. A file that cannot be read now counts as unchanged.
 */
export function watchFile(
  path: string,
  onChange: (text: string) => void,
  parts: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): void {
  let last = tryRead(path);
  let pending = false;
  const look = async () => {
    if (pending) return;
    pending = true;
    const slept = await parts.clock.sleep(quietMs, signal);
    pending = false;
    const text = slept ? tryRead(path) : undefined;
    if (text === undefined || text === last) return;
    last = text;
    onChange(text);
  };
  let watcher: FSWatcher;
  try {
    watcher = watch(dirname(path), { signal }, () => void look());
  } catch (error) {
    parts.log.error(error, "Configuration file is not watched; SIGHUP has it read again", { path });
    return;
  }
  watcher.on("error", (error) => parts.log.error(error, "Configuration file is no longer watched", { path }));
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

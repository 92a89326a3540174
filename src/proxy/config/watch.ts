/** Tells when a file has other content, however it was changed: in place, by renaming, or as a mounted ConfigMap. */
import { type FSWatcher, readFileSync, realpathSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../telemetry/clock.ts";
import type { Logger } from "../../telemetry/log.ts";

/** Writers take a moment between truncating a file and filling it. */
const quietMs = 100;

/**
 * Calls `onChange` with the new text when the file's content changes, until the signal is aborted. The file's folder is
 * watched, because a file that is replaced is another one, and that of the file which a symbolic link leads to. A file
 * that cannot be read now counts as unchanged.
 */
export function watchFile(
  path: string,
  onChange: (text: string) => void,
  parts: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): void {
  const watchers = new Map<string, FSWatcher>();
  let last: string | undefined;
  let pending = false;
  const look = async () => {
    if (pending) return;
    pending = true;
    const slept = await parts.clock.sleep(quietMs, signal);
    pending = false;
    if (!slept) return;
    watchFolders();
    const text = tryRead(path);
    if (text === undefined || text === last) return;
    last = text;
    onChange(text);
  };
  const watchFolders = () => {
    const folders = foldersOf(path);
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { signal }, () => void look());
        watcher.on("error", (error) => parts.log.error(error, "Configuration file is no longer watched", { path }));
        watchers.set(folder, watcher);
      } catch (error) {
        parts.log.error(error, "Configuration file is not watched; SIGHUP has it read again", { path });
      }
    }
  };
  watchFolders();
  last = tryRead(path);
}

/** Where changes of the file show. */
function foldersOf(path: string): ReadonlySet<string> {
  try {
    return new Set([dirname(path), dirname(realpathSync(path))]);
  } catch {
    // The link leads nowhere now.
    return new Set([dirname(path)]);
  }
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** The files of a directory of manifests, and which of them changed. */
import { type FSWatcher, watch as watchFiles } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../telemetry/clock.ts";

/** A file as it was read. */
export interface FileContent {
  readonly path: string;
  readonly format: "yaml" | "json";
  readonly content: Uint8Array;
  /** Equal for two readings between which the file was not written. */
  readonly stamp: string;
}

/** Files read of one directory. */
const maximumFiles = 10_000;
/** Bytes of one file. */
const maximumFile = 64 << 20;
/** Milliseconds after a change before the directory is read: a save is often several steps. */
const quietTime = 20;

/** The names of the manifests in a directory, sorted: `*.yaml`, `*.yml`, `*.json`, hidden ones excepted. */
export async function listManifests(directory: string): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter((name) => formatOf(name) !== undefined && !name.startsWith("."));
  if (names.length > maximumFiles) {
    throw new Error(`${directory} has ${names.length} manifests, more than the ${maximumFiles} that are read`);
  }
  return names.sort().map((name) => join(directory, name));
}

/**
 * Reads a file, unless it is as it was at `stamp`.
 *
 * @returns undefined if it has not changed, or is no file; "unsteady" if it was written meanwhile.
 * @throws {Error} if it is too large, or cannot be read.
 */
export async function readChanged(path: string, stamp?: string): Promise<FileContent | "unsteady" | undefined> {
  const before = await lookAt(path);
  if (before === undefined || before.stamp === stamp) return undefined;
  if (before.size > maximumFile) {
    throw new Error(`${path}: ${before.size} bytes are more than the ${maximumFile} allowed`);
  }
  const content = await readFile(path);
  if ((await lookAt(path))?.stamp !== before.stamp) return "unsteady";
  return { path, format: formatOf(path) ?? "yaml", content, stamp: before.stamp };
}

/** Tells when something in a directory may have changed. */
export class DirectoryChanges {
  readonly #directory: string;
  #watcher: FSWatcher | undefined;
  #changed = Promise.withResolvers<void>();

  /** Listens only after {@link open}. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Begins to listen, if that is not so and can be. */
  open(): void {
    if (this.#watcher !== undefined) return;
    try {
      this.#watcher = watchFiles(this.#directory, { persistent: false }, () => this.#changed.resolve());
      this.#watcher.on("error", () => this.close());
    } catch {
      // The directory is not there, or the kernel has no watches left: then looking again has to do.
    }
  }

  /** Waits for a change and the quiet after it, `longest` milliseconds at most. */
  async next(longest: number, signal: AbortSignal): Promise<void> {
    const looked = new AbortController();
    const over = systemClock.sleep(longest, AbortSignal.any([signal, looked.signal]));
    await Promise.race([this.#changed.promise, over]);
    looked.abort();
    if (signal.aborted) return;
    await systemClock.sleep(quietTime, signal);
    this.#changed = Promise.withResolvers();
  }

  /** Stops listening. */
  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

async function lookAt(path: string): Promise<{ readonly stamp: string; readonly size: bigint } | undefined> {
  const stats = await stat(path, { bigint: true });
  const { dev, ino, size, mtimeNs, ctimeNs } = stats;
  return stats.isFile() ? { stamp: `${dev}/${ino}/${size}/${mtimeNs}/${ctimeNs}`, size } : undefined;
}

function formatOf(name: string): "yaml" | "json" | undefined {
  if (name.endsWith(".json")) return "json";
  return name.endsWith(".yaml") || name.endsWith(".yml") ? "yaml" : undefined;
}

/** The source of objects that is a directory of manifests. */
import { type Clock, systemClock } from "../telemetry/clock.ts";
import { errorText, type Logger } from "../telemetry/log.ts";
import { DirectoryChanges, type FileContent, listManifests, readChanged } from "./manifests/directory.ts";
import { ManifestError, type ManifestObject, parseManifest } from "./manifests/parse.ts";
import { selectorOf } from "./manifests/select.ts";
import { identityOf } from "./objects/metadata.ts";
import { apiVersionOf, objectKey } from "./objects/resource.ts";
import type { Source, Watch } from "./source.ts";
import { ObjectStore } from "./store.ts";

/** What a {@link ManifestSource} may be given. */
export interface ManifestSourceOptions {
  readonly log: Logger;
  readonly clock?: Clock;
}

/** Milliseconds after which a file that seemed gone, empty or broken is believed to be so. */
const doubtTime = 100;
/** Milliseconds between looks at the directory where the kernel does not tell of changes. */
const lookAgain = 2000;

/** A file, as it counts and as it may come to count. */
interface File {
  /** The objects that count: those of the last content that was accepted. */
  accepted: readonly ManifestObject[];
  /** The last content read. */
  stamp: string | undefined;
  /** What is read but not accepted, because of other files. */
  candidate: readonly ManifestObject[] | undefined;
  /** When something suspicious was seen first, by the monotonic clock. */
  doubtedAt: number | undefined;
  /** The complaint that was logged last. */
  complaint: string | undefined;
}

/** Somebody who watches one kind. */
interface Follower {
  readonly apiVersion: string;
  readonly kind: string;
  /** What is wrong with an object, for this follower. */
  check(raw: unknown): readonly string[];
  /** Tells of a new state. */
  show(objects: readonly ManifestObject[]): void;
}

/**
 * Watches the objects that the manifests of a directory say: YAML or JSON, several documents a file, Lists, legacy
 * Endpoints. Files count whole or not at all: one that is broken, or has a malformed object, or one that another file
 * has too, is complained of with its line and what it said before goes on to count. Subdirectories are not read.
 */
export class ManifestSource implements Source {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #files = new Map<string, File>();
  readonly #followers = new Set<Follower>();
  readonly #otherKinds = new Set<string>();
  #stop: AbortController | undefined;
  #objects: readonly ManifestObject[] | undefined;
  #complaint: string | undefined;

  constructor(directory: string, options: ManifestSourceOptions) {
    this.#directory = directory;
    this.#log = options.log.with({ directory });
    this.#clock = options.clock ?? systemClock;
  }

  /** What is wrong with manifests now, one line for each that does not count as it stands, in order of their names. */
  get problems(): readonly string[] {
    const complaints = [...this.#files].flatMap(([path, { complaint }]) =>
      complaint === undefined ? [] : complaint.startsWith(path) ? complaint : `${path}: ${complaint}`,
    );
    return complaints.sort();
  }

  watch<T>(watch: Watch<T>, signal: AbortSignal): void {
    if (signal.aborted) return;
    const follower = makeFollower(watch, this.#log, signal);
    this.#followers.add(follower);
    signal.addEventListener("abort", () => {
      this.#followers.delete(follower);
      if (this.#followers.size === 0) this.#stop?.abort();
    });
    if (this.#stop === undefined || this.#stop.signal.aborted) {
      this.#stop = new AbortController();
      void this.#run(this.#stop.signal);
    } else {
      setImmediate(() => {
        if (this.#objects !== undefined && !signal.aborted) follower.show(this.#objects);
      });
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const changes = new DirectoryChanges(this.#directory);
    try {
      while (!signal.aborted) {
        changes.open();
        const found = await this.#look(signal);
        // A directory that cannot be read may come back as another one, of which the kernel was not asked to tell.
        if (found === "nothing") changes.close();
        await changes.next(found === "doubt" ? doubtTime : lookAgain, signal);
      }
    } finally {
      changes.close();
    }
  }

  /** Reads what changed and tells the followers. With a doubt, a second look is needed soon. */
  async #look(signal: AbortSignal): Promise<"state" | "doubt" | "nothing"> {
    let doubtful = false;
    try {
      const paths = await listManifests(this.#directory);
      for (const path of paths) doubtful = (await this.#read(path)) || doubtful;
      const here = new Set(paths);
      for (const path of this.#files.keys()) if (!here.has(path)) doubtful = this.#miss(path) || doubtful;
    } catch (error) {
      this.#complain(error);
      return "nothing";
    }
    if (this.#complaint !== undefined) this.#log.info("Reads the manifests again");
    this.#complaint = undefined;
    if (!signal.aborted) this.#settle();
    return doubtful ? "doubt" : "state";
  }

  /** Reads one file. True if it is to be looked at again soon. */
  async #read(path: string): Promise<boolean> {
    const file = this.#files.get(path) ?? newFile();
    let read: FileContent | "unsteady" | undefined;
    try {
      // A file in doubt is read again even if nobody wrote it meanwhile.
      read = await readChanged(path, file.doubtedAt === undefined ? file.stamp : undefined);
    } catch (error) {
      if (isMissing(error)) return this.#files.has(path) && this.#miss(path);
      this.#refuse(path, file, errorText(error));
      return false;
    }
    if (read === undefined) return false;
    if (read === "unsteady") return true;
    this.#files.set(path, file);
    const suspicious = read.content.length === 0 && file.accepted.length > 0 ? "empty" : undefined;
    if (suspicious !== undefined && this.#doubt(file)) return true;
    try {
      file.candidate = this.#check(parseManifest(read.content, read.format));
      file.complaint = undefined;
    } catch (error) {
      if (this.#doubt(file)) return true;
      file.candidate = undefined;
      // Whatever one file brings about, the others count.
      const line = error instanceof ManifestError ? `:${error.line}` : "";
      this.#refuse(path, file, `${path}${line}: ${errorText(error)}`);
    }
    file.stamp = read.stamp;
    file.doubtedAt = undefined;
    return false;
  }

  /** Takes that a file is not there: true as long as that may be a moment of its renewal. */
  #miss(path: string): boolean {
    const file = this.#files.get(path);
    if (file === undefined) return false;
    if (this.#doubt(file)) return true;
    this.#files.delete(path);
    return false;
  }

  /** Something suspicious was seen: true if that may pass. The first look at all is not made to wait. */
  #doubt(file: File): boolean {
    if (this.#objects === undefined) return false;
    const now = this.#clock.monotonic();
    file.doubtedAt ??= now;
    return now - file.doubtedAt < doubtTime;
  }

  /** The objects of a file, all well-formed and different. */
  #check(objects: readonly ManifestObject[]): readonly ManifestObject[] {
    const lines = new Map<string, number>();
    for (const object of objects) {
      const { apiVersion, kind, raw, line } = object;
      const other = lines.get(keyOf(object));
      if (other !== undefined) throw new ManifestError(`${keyOf(object)} stands in line ${other} too`, line);
      lines.set(keyOf(object), line);
      const followers = [...this.#followers].filter((one) => one.kind === kind && one.apiVersion === apiVersion);
      const problems = new Set(followers.flatMap((one) => one.check(raw)));
      if (problems.size > 0) throw new ManifestError(`${keyOf(object)}: ${[...problems].join("; ")}`, line);
      if (followers.length === 0) this.#mention(`${kind} (${apiVersion})`);
    }
    return objects;
  }

  /** Accepts what can be accepted of all files together, and tells the followers if anything changed. */
  #settle(): void {
    const files = [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1));
    const taken = new Set(files.filter(([, file]) => file.candidate !== undefined).map(([, file]) => file));
    const objectsOf = (file: File) => (taken.has(file) && file.candidate) || file.accepted;
    // Each round refuses one file, so that this ends.
    for (
      let conflict = findConflict(files, objectsOf, taken);
      conflict;
      conflict = findConflict(files, objectsOf, taken)
    ) {
      taken.delete(conflict.file);
      this.#refuse(conflict.path, conflict.file, conflict.message);
    }
    for (const file of taken) {
      file.accepted = file.candidate ?? [];
      file.candidate = undefined;
      file.complaint = undefined;
    }
    const objects = files.flatMap(([, file]) => file.accepted);
    if (this.#objects !== undefined && sameObjects(this.#objects, objects)) return;
    this.#objects = objects;
    for (const follower of [...this.#followers]) follower.show(objects);
  }

  #refuse(path: string, file: File, complaint: string): void {
    this.#files.set(path, file);
    if (file.complaint === complaint) return;
    file.complaint = complaint;
    const instead = file.accepted.length > 0 ? "What it said before goes on to count" : "It does not count";
    this.#log.error(undefined, "Refused a manifest", { err: complaint, remedy: `${instead} until it is corrected` });
  }

  #complain(error: unknown): void {
    const complaint = errorText(error);
    if (complaint !== this.#complaint) this.#log.error(error, "Cannot read the manifests, and goes on trying");
    this.#complaint = complaint;
  }

  #mention(kind: string): void {
    if (this.#otherKinds.has(kind)) return;
    this.#otherKinds.add(kind);
    this.#log.info("Ignored objects of a kind that is not used here", { kind });
  }
}

function makeFollower<T>(watch: Watch<T>, log: Logger, signal: AbortSignal): Follower {
  const { resource, selection, onEvents, onSynced } = watch;
  const apiVersion = apiVersionOf(resource);
  const selects = selectorOf(selection ?? {});
  const store = new ObjectStore(resource, log);
  let synced = false;
  return {
    apiVersion,
    kind: resource.kind,
    check(raw) {
      const projected = selects(raw) ? resource.project(raw) : undefined;
      return projected?.outcome === "invalid" ? projected.problems : [];
    },
    show(objects) {
      const next = store.replace();
      for (const object of objects) {
        if (object.kind === resource.kind && object.apiVersion === apiVersion && selects(object.raw)) {
          next.upsert(object.raw);
        }
      }
      const events = [...next.commit()];
      if (signal.aborted) return;
      if (events.length > 0) onEvents(events);
      if (!synced) onSynced();
      synced = true;
    },
  };
}

/** The first object that stands in two files, and the file that is to blame: a new one, of two the later in name. */
function findConflict(
  files: readonly (readonly [string, File])[],
  objectsOf: (file: File) => readonly ManifestObject[],
  taken: ReadonlySet<File>,
): { readonly path: string; readonly file: File; readonly message: string } | undefined {
  const owners = new Map<string, readonly [path: string, file: File, line: number]>();
  for (const [path, file] of files) {
    for (const object of objectsOf(file)) {
      const key = keyOf(object);
      const owner = owners.get(key);
      owners.set(key, [path, file, object.line]);
      if (owner === undefined) continue;
      const own = [path, file, object.line] as const;
      const [blamed, other] = taken.has(file) ? [own, owner] : [owner, own];
      const message = `${blamed[0]}:${blamed[2]}: ${key} stands in ${other[0]}:${other[2]} too`;
      return { path: blamed[0], file: blamed[1], message };
    }
  }
  return undefined;
}

/** What names an object in messages and tells it from others: `Service shop/web`. */
function keyOf({ kind, raw }: ManifestObject): string {
  return `${kind} ${objectKey(identityOf(raw) ?? { name: "" })}`;
}

function sameObjects(a: readonly ManifestObject[], b: readonly ManifestObject[]): boolean {
  return a.length === b.length && a.every((object, i) => object === b[i]);
}

function newFile(): File {
  return { accepted: [], stamp: undefined, candidate: undefined, doubtedAt: undefined, complaint: undefined };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/**
 * The objects of the API server: in memory to be read, in SQLite to be kept.
 *
 * A write is acknowledged when its transaction is in the write-ahead log. With `synchronous=NORMAL` that outlives the
 * process, however it ends; a loss of power may take the last moments, and never leaves the file damaged.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { ApiError } from "../errors.ts";
import { type ApiObject, encode } from "../json.ts";
import { type Change, ChangeLog } from "./log.ts";

/** Where an object lies: its resource (`services`, `deployments.apps`), namespace (empty for none) and name. */
export interface Key {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** A write: put this object there, or delete what is there. */
export type Write = { readonly key: Key; readonly put: ApiObject } | { readonly key: Key; readonly delete: true };

/** Changes of each kind that are remembered for watchers. */
const defaultHistory = 5_000;
/** Bytes of JSON text that these changes may have. */
const historyBytes = 32 * 1024 * 1024;
const layout = 1;
/** Bytes of JSON text that an object may have: what one request may bring, and less than clients take for an event. */
export const objectLimit = 3 * 1024 * 1024;

interface Shelf {
  readonly objects: Map<string, ApiObject>;
  /** The keys in order; undefined until somebody asks for a list. */
  sorted: string[] | undefined;
  readonly log: ChangeLog;
}

/** All objects of a server. Reads cost no I/O; writes are transactions. One process opens one directory. */
export class Store {
  readonly #db: DatabaseSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #setVersion: StatementSync;
  readonly #shelves = new Map<string, Shelf>();
  readonly #history: number;
  readonly #listeners = new Set<(resource: string) => void>();
  /** The resource version at which the file was opened. */
  readonly #opened: number;
  #version: number;

  /**
   * Opens the store in a directory, which is made if it is missing. `history` is how many changes of each kind are
   * remembered for watchers, at most.
   *
   * @throws {Error} if the file is of a later layout, damaged, or in use by another process.
   */
  constructor(directory: string, history = defaultHistory) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = join(directory, "objects.sqlite");
    this.#history = history;
    this.#db = new DatabaseSync(file, { timeout: 500 });
    try {
      this.#db.exec("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;");
      this.#db.exec(`BEGIN IMMEDIATE;
        CREATE TABLE IF NOT EXISTS objects (
          resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
          version INTEGER NOT NULL, json TEXT NOT NULL,
          PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT OR IGNORE INTO facts VALUES ('layout', ${layout}), ('version', 1);
        COMMIT;`);
      const found = this.#fact("layout");
      if (found !== layout) throw new Error(`its layout is ${found}, this program writes ${layout}`);
      this.#version = this.#fact("version");
      this.#opened = this.#version;
      for (const row of this.#db.prepare("SELECT resource, namespace, name, json FROM objects").iterate()) {
        const object = JSON.parse(String(row.json)) as ApiObject;
        this.#shelf(String(row.resource)).objects.set(`${row.namespace}/${row.name}`, object);
      }
    } catch (error) {
      this.#db.close();
      throw new Error(`cannot open ${file}: ${message(error)}: stop the other lab, or remove the file to begin anew`, {
        cause: error,
      });
    }
    this.#put = this.#db.prepare("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)");
    this.#delete = this.#db.prepare("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?");
    this.#setVersion = this.#db.prepare("UPDATE facts SET value = ? WHERE name = 'version'");
  }

  /** The resource version of the last write. */
  get version(): number {
    return this.#version;
  }

  /** The object at a place, or undefined. */
  get(key: Key): ApiObject | undefined {
    return this.#shelves.get(key.resource)?.objects.get(`${key.namespace}/${key.name}`);
  }

  /**
   * The objects of a resource in order of namespace and name, all of them or those of one namespace.
   * `after` is the `namespace/name` to begin behind.
   */
  list(resource: string, namespace = "", after = ""): readonly ApiObject[] {
    const shelf = this.#shelves.get(resource);
    if (shelf === undefined) return [];
    shelf.sorted ??= [...shelf.objects.keys()].sort();
    const prefix = namespace === "" ? "" : `${namespace}/`;
    const result: ApiObject[] = [];
    for (let i = firstAfter(shelf.sorted, after > prefix ? after : prefix); i < shelf.sorted.length; i++) {
      const key = shelf.sorted[i] ?? "";
      if (!key.startsWith(prefix)) break;
      const object = shelf.objects.get(key);
      if (object !== undefined) result.push(object);
    }
    return result;
  }

  /**
   * The objects of a resource as they were at a resource version, as {@link list}: what has changed since is undone from
   * the log of changes, so that no copy is kept. Undefined if the log does not reach back so far.
   */
  listAt(version: number, resource: string, namespace = "", after = ""): readonly ApiObject[] | undefined {
    const changes = this.log(resource).after(version, Number.POSITIVE_INFINITY);
    if (changes === undefined || changes.length === 0) return changes && this.list(resource, namespace, after);
    const before = new Map<string, ApiObject | undefined>();
    for (const { object, previous } of changes) {
      const id = idOf(object);
      // The first change tells how it was before all of them.
      if (!before.has(id)) before.set(id, previous);
    }
    const prefix = namespace === "" ? "" : `${namespace}/`;
    const wanted = (id: string) => id.startsWith(prefix) && id > after;
    const result: ApiObject[] = this.list(resource, namespace, after).filter((object) => !before.has(idOf(object)));
    for (const [id, object] of before) if (object !== undefined && wanted(id)) result.push(object);
    return result.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  }

  /** How many objects a resource has. */
  count(resource: string): number {
    return this.#shelves.get(resource)?.objects.size ?? 0;
  }

  /** The changes of a resource. */
  log(resource: string): ChangeLog {
    return this.#shelf(resource).log;
  }

  /** Calls back after every write, once for each resource in it. Returns a function that ends that. */
  subscribe(listener: (resource: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Writes all or nothing. Every object gets the next resource version.
   *
   * @returns the objects as stored, in the order of the writes (for deletions: as deleted).
   * @throws {ApiError} 413 if an object is larger than {@link objectLimit}, 507 if the disk is full, 500 if it fails otherwise; then nothing has changed.
   */
  commit(writes: readonly Write[]): readonly ApiObject[] {
    let version = this.#version;
    const done: { readonly key: Key; readonly change: Change }[] = [];
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      for (const write of writes) {
        const { resource, namespace, name } = write.key;
        const previous = this.get(write.key);
        version++;
        if ("put" in write) {
          const object = stamped(write.put, version);
          const text = encode(object);
          if (Buffer.byteLength(text) > objectLimit) throw tooLarge(object);
          this.#put.run(resource, namespace, name, version, text);
          const type = previous === undefined ? "ADDED" : "MODIFIED";
          done.push({ key: write.key, change: { type, version, object, previous } });
        } else if (previous !== undefined) {
          this.#delete.run(resource, namespace, name);
          done.push({
            key: write.key,
            change: { type: "DELETED", version, object: stamped(previous, version), previous },
          });
        }
      }
      this.#setVersion.run(version);
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error instanceof ApiError ? error : storageError(error);
    }
    this.#version = version;
    for (const { key, change } of done) this.#remember(key, change);
    const touched = new Set(done.map(({ key }) => key.resource));
    for (const resource of touched) for (const listener of this.#listeners) listener(resource);
    return done.map(({ change }) => change.object);
  }

  /** Closes the file; the write-ahead log is folded into it. */
  close(): void {
    this.#db.close();
  }

  #remember(key: Key, change: Change): void {
    const shelf = this.#shelf(key.resource);
    const id = `${key.namespace}/${key.name}`;
    if (change.type === "DELETED") shelf.objects.delete(id);
    else shelf.objects.set(id, change.object);
    if (shelf.sorted !== undefined && change.type !== "MODIFIED") {
      const at = firstAfter(shelf.sorted, id);
      if (change.type === "ADDED") shelf.sorted.splice(at, 0, id);
      else shelf.sorted.splice(at - 1, 1);
    }
    shelf.log.push(change, encode(change.object).length);
  }

  #shelf(resource: string): Shelf {
    let shelf = this.#shelves.get(resource);
    if (shelf === undefined) {
      // A resource without a shelf has had no change since the file was opened.
      shelf = {
        objects: new Map(),
        sorted: undefined,
        log: new ChangeLog(this.#opened, { changes: this.#history, bytes: historyBytes }),
      };
      this.#shelves.set(resource, shelf);
    }
    return shelf;
  }

  #fact(name: string): number {
    return Number(this.#db.prepare("SELECT value FROM facts WHERE name = ?").get(name)?.value);
  }
}

/** The key of an object among those of its resource: its namespace and name. */
function idOf({ metadata: { namespace = "", name } }: ApiObject): string {
  return `${namespace}/${name}`;
}

function firstAfter(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function stamped(object: ApiObject, version: number): ApiObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** SQLite's primary result codes (sqlite.org/rescode.html): SQLITE_IOERR and SQLITE_FULL. */
const ioError = 10;
const full = 13;

function tooLarge({ kind, metadata: { name } }: ApiObject): ApiError {
  const text = `Request entity too large: ${kind} ${name} would take more than ${objectLimit} bytes, its managedFields included`;
  return new ApiError(413, "RequestEntityTooLarge", text);
}

function storageError(error: unknown): ApiError {
  const code = typeof error === "object" && error !== null && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  if (code === full) {
    const text = "the disk that holds the API's objects is full: nothing was written; make room and try again";
    return new ApiError(507, "InsufficientStorage", text);
  }
  const where =
    code === ioError ? "the disk that holds the API's objects fails" : "the API's objects could not be written";
  return new ApiError(500, "InternalError", `${where}: ${message(error)}: nothing was written`);
}

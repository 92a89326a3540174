/** The maps of a kubeconfig file, read strictly, with messages that say where. */
import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { errorText } from "../../telemetry/log.ts";
import { type Fields, isFields } from "../objects/fields.ts";

/** Access to a cluster cannot be had from what is configured. The message names file, field and remedy. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

/** Bytes that a kubeconfig file or a file it names may have. */
const maximumFile = 4 << 20;

/** A map of a kubeconfig file, with where it stands. */
export class Entry {
  readonly fields: Fields;
  readonly file: string;
  /** The path of the map in its file, by names: `contexts[dev].context`. Empty for the file's root. */
  readonly #path: string;

  constructor(fields: Fields, file: string, path: string) {
    this.fields = fields;
    this.file = file;
    this.#path = path;
  }

  /** A field, as messages name it. */
  at(field: string): string {
    return `${this.file}: ${this.#path === "" ? field : `${this.#path}.${field}`}`;
  }

  has(field: string): boolean {
    return (this.fields[field] ?? "") !== "";
  }

  /** A string; undefined where there is none or an empty one. */
  text(field: string): string | undefined {
    const value = this.fields[field] ?? "";
    // A user name or context of digits only is a number to YAML.
    if (typeof value !== "string" && typeof value !== "number") throw this.#wrong(field, "must be a string");
    return value === "" ? undefined : String(value);
  }

  flag(field: string): boolean {
    const value = this.fields[field] ?? false;
    if (typeof value !== "boolean") throw this.#wrong(field, "must be true or false");
    return value;
  }

  texts(field: string): readonly string[] {
    return this.#list(field).map((value) => {
      if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
      throw this.#wrong(field, "must be a list of strings");
    });
  }

  entry(field: string): Entry | undefined {
    const value = this.fields[field];
    if (value === undefined || value === null) return undefined;
    if (!isFields(value)) throw this.#wrong(field, "must be a map");
    return new Entry(value, this.file, this.#path === "" ? field : `${this.#path}.${field}`);
  }

  entries(field: string): readonly Entry[] {
    return this.#list(field).map((value, i) => {
      const name = isFields(value) && typeof value.name === "string" ? value.name : i;
      const path = `${this.#path === "" ? "" : `${this.#path}.`}${field}[${name}]`;
      if (isFields(value)) return new Entry(value, this.file, path);
      throw this.#wrong(field, "must be a list of maps");
    });
  }

  /** A path, from the folder of the file. */
  path(field: string): string | undefined {
    const path = this.text(field);
    return path === undefined || isAbsolute(path) ? path : resolve(dirname(this.file), path);
  }

  url(field: string, protocols: readonly string[]): URL | undefined {
    const text = this.text(field);
    if (text === undefined) return undefined;
    const url = URL.parse(text);
    if (url && protocols.includes(url.protocol)) return url;
    throw this.#wrong(field, `must be a URL that starts with ${protocols.map((p) => `${p}//`).join(" or ")}`);
  }

  /** The content of `<field>-data` (base64), else of the file that `<field>` names. */
  textOrFile(field: string): string | undefined {
    const data = this.text(`${field}-data`);
    if (data !== undefined) {
      if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(data)) return Buffer.from(data, "base64").toString("utf8");
      throw this.#wrong(`${field}-data`, "must be base64");
    }
    const path = this.path(field);
    return path === undefined ? undefined : readBounded(path, this.at(field));
  }

  #list(field: string): readonly unknown[] {
    const value = this.fields[field] ?? [];
    if (!Array.isArray(value)) throw this.#wrong(field, "must be a list");
    return value;
  }

  /** Values are not quoted: they may be secrets. */
  #wrong(field: string, reason: string): KubeconfigError {
    return new KubeconfigError(`${this.at(field)}: Invalid value: ${reason}`);
  }
}

/**
 * The content of a file.
 *
 * @throws {KubeconfigError} that says for what it was needed.
 */
export function readBounded(file: string, what: string): string {
  try {
    const { size } = statSync(file);
    if (size > maximumFile) throw new Error(`${size} bytes are more than the ${maximumFile} that are read`);
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new KubeconfigError(`${what}: ${file} cannot be read: ${errorText(error)}`);
  }
}

/** True if there is something at the path. */
export function fileExists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** All kinds that a server serves at a time: those that are built in, and those of definitions. */
import { type Kind, resourceOf } from "./kind.ts";

/** An API group with its versions, the preferred one first. */
export interface Group {
  readonly group: string;
  readonly versions: readonly string[];
}

/** Kinds, and the ways to find them. Never changes: other kinds make another set. */
export class KindSet {
  /** Every kind in each version that clients may use, in the order of discovery. */
  readonly served: readonly Kind[];
  /** Every kind once, in the version that is stored. */
  readonly stored: readonly Kind[];
  /** The groups besides core. */
  readonly groups: readonly Group[];
  readonly #byResource: ReadonlyMap<string, Kind>;
  readonly #byPath: ReadonlyMap<string, Kind>;

  /** Of several versions of a kind, the stored one comes first. */
  constructor(kinds: readonly Kind[]) {
    this.served = kinds.filter((kind) => kind.custom?.served ?? true);
    const byResource = new Map<string, Kind>();
    for (const kind of kinds) if (!byResource.has(resourceOf(kind))) byResource.set(resourceOf(kind), kind);
    this.#byResource = byResource;
    this.#byPath = new Map(this.served.map((kind) => [pathOf(kind.group, kind.version, kind.plural), kind]));
    this.stored = [...byResource.values()].filter((kind) => kind.alias === undefined);
    const groups = new Map<string, Set<string>>();
    for (const { group, version } of this.served) {
      if (group !== "") groups.set(group, (groups.get(group) ?? new Set()).add(version));
    }
    this.groups = [...groups].map(([group, versions]) => ({ group, versions: [...versions].sort(byPriority) }));
  }

  /** The kind of a resource such as `services` or `deployments.apps`, in the version that is stored; or undefined. */
  kindOf(resource: string): Kind | undefined {
    return this.#byResource.get(resource);
  }

  /** The kind that a path of the API names, or undefined. */
  find(group: string, version: string, plural: string): Kind | undefined {
    return this.#byPath.get(pathOf(group, version, plural));
  }

  /** The kinds of a group and version, in order. */
  of(group: string, version: string): readonly Kind[] {
    return this.served.filter((kind) => kind.group === group && kind.version === version);
  }
}

function pathOf(group: string, version: string, plural: string): string {
  return `${group}/${version}/${plural}`;
}

const stages = ["alpha", "beta", ""];

/** Versions as the API orders them: v2, v1, v2beta1, v1alpha1, and whatever is written otherwise by its letters. */
export function byPriority(a: string, b: string): number {
  const [left, right] = [rankOf(a), rankOf(b)];
  if (left === undefined || right === undefined) {
    return left === right ? (a < b ? -1 : a > b ? 1 : 0) : left === undefined ? 1 : -1;
  }
  for (const [i, value] of left.entries()) if (value !== right[i]) return (right[i] ?? 0) - value;
  return 0;
}

function rankOf(version: string): readonly number[] | undefined {
  const match = /^v(\d{1,9})(?:(alpha|beta)(\d{1,9}))?$/.exec(version);
  return match === null ? undefined : [stages.indexOf(match[2] ?? ""), Number(match[1]), Number(match[3] ?? 0)];
}

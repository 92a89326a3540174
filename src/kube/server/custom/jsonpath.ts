/** The simple JSON paths that definitions name fields by: `.spec.hosts[0]`, `.status.conditions[?(@.type=="Ready")].status`. Pure. */
import { isList, isObject, type Json } from "../json.ts";

/** One step of a path. */
export type Step =
  | { readonly type: "member"; readonly name: string }
  | { readonly type: "item"; readonly index: number }
  | { readonly type: "all" }
  | { readonly type: "where"; readonly path: readonly Step[]; readonly operator: string; readonly value: Json };

/** Says what cannot be read in a path. */
export class PathError extends Error {
  constructor(path: string, at: number) {
    super(
      `${JSON.stringify(path)} cannot be read from its character ${at + 1} on: paths are of the form .spec.ports[0].name`,
    );
    this.name = "PathError";
  }
}

const member = /\.((?:[^.[\]\\\s]|\\.)+)/y;
const quoted = /\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/y;
const index = /\[(-?\d{1,9})\]/y;
const all = /\[\*\]|\.\*/y;
const where =
  /\[\?\(\s*@((?:\.(?:[^.[\]\\\s=<>!]|\\.)+)+)\s*(==|!=|<=|>=|<|>)\s*(?:"([^"]*)"|'([^']*)'|(-?\d+(?:\.\d+)?|true|false))\s*\)\]/y;

/** Reads a path. @throws {PathError} where it cannot be read. */
export function parsePath(text: string): readonly Step[] {
  const path = text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
  const steps: Step[] = [];
  let at = path.startsWith("$") ? 1 : 0;
  const take = (form: RegExp): RegExpExecArray | null => {
    form.lastIndex = at;
    const found = form.exec(path);
    if (found !== null) at = form.lastIndex;
    return found;
  };
  while (at < path.length) {
    let found = take(all);
    if (found !== null) {
      steps.push({ type: "all" });
      continue;
    }
    found = take(member);
    if (found !== null) {
      steps.push({ type: "member", name: unescaped(found[1]) });
      continue;
    }
    found = take(quoted);
    if (found !== null) {
      steps.push({ type: "member", name: unescaped(found[1] ?? found[2]) });
      continue;
    }
    found = take(index);
    if (found !== null) {
      steps.push({ type: "item", index: Number(found[1]) });
      continue;
    }
    found = take(where);
    if (found === null) throw new PathError(text, at);
    const [, inner = "", operator = "", double, single, bare] = found;
    const value: Json = double ?? single ?? (bare === undefined ? "" : (JSON.parse(bare) as Json));
    steps.push({ type: "where", path: parsePath(inner), operator, value });
  }
  if (steps.length === 0) throw new PathError(text, 0);
  return steps;
}

function unescaped(text = ""): string {
  return text.replaceAll(/\\(.)/g, "$1");
}

/** The values that a path leads to. */
export function follow(steps: readonly Step[], value: Json): readonly Json[] {
  let found: readonly Json[] = [value];
  for (const step of steps) found = found.flatMap((item) => next(step, item));
  return found;
}

function next(step: Step, value: Json): readonly Json[] {
  switch (step.type) {
    case "member": {
      const inner = isObject(value) && Object.hasOwn(value, step.name) ? value[step.name] : undefined;
      return inner === undefined ? [] : [inner];
    }
    case "item": {
      const inner = isList(value) ? value.at(step.index) : undefined;
      return inner === undefined ? [] : [inner];
    }
    case "all":
      return partsOf(value);
    case "where":
      return partsOf(value).filter((item) =>
        follow(step.path, item).some((found) => compares(found, step.operator, step.value)),
      );
  }
}

function partsOf(value: Json): readonly Json[] {
  if (isList(value)) return value;
  return isObject(value) ? Object.values(value).filter((item): item is Json => item !== undefined) : [];
}

function compares(found: Json, operator: string, value: Json): boolean {
  if (operator === "==") return found === value;
  if (operator === "!=") return found !== value;
  if (typeof found !== "number" || typeof value !== "number") return false;
  if (operator === "<") return found < value;
  if (operator === "<=") return found <= value;
  return operator === ">" ? found > value : found >= value;
}

/** The names of a path that goes through members only, or undefined. */
export function plainNames(steps: readonly Step[]): readonly string[] | undefined {
  const names = steps.flatMap((step) => (step.type === "member" ? [step.name] : []));
  return names.length === steps.length ? names : undefined;
}

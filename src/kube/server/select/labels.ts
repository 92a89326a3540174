/** Label selectors, as text (`app=web,tier in (a,b),!old`) and as objects (`matchLabels`, `matchExpressions`). */
import { isObject, type JsonObject, listAt, objectAt, textAt } from "../json.ts";

/** One condition of a label selector. `exists` and `absent` have no values; `gt` and `lt` have one whole number. */
export interface Requirement {
  readonly key: string;
  readonly operator: "in" | "notIn" | "exists" | "absent" | "gt" | "lt";
  readonly values: readonly string[];
}

/** Says what cannot be read in a selector. */
export class SelectorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SelectorError";
  }
}

const keyForm = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const valueForm = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** True for the key of a label: a name of up to 63 characters, with or without a domain before it. */
export function isLabelKey(text: string): boolean {
  return text.length <= 317 && keyForm.test(text);
}

/** True for the value of a label: empty, or up to 63 characters. */
export function isLabelValue(text: string): boolean {
  return valueForm.test(text);
}

/**
 * Parses a label selector. The empty text selects everything.
 *
 * @throws {SelectorError} where it cannot be read.
 */
export function parseLabelSelector(text: string): readonly Requirement[] {
  const tokens = [...text.matchAll(/\s*(==|!=|[=!,()<>]|[^\s=!,()<>]+)/gy)].map((match) => match[1] ?? "");
  if (tokens.join("").length !== text.replaceAll(/\s/g, "").length)
    throw new SelectorError(`unable to parse ${JSON.stringify(text)}`);
  let next = 0;
  const fail = (wanted: string): SelectorError =>
    new SelectorError(`unable to parse requirement: found '${tokens[next] ?? ""}', expected: ${wanted}`);
  const requirements: Requirement[] = [];
  const isWord = (token: string | undefined): token is string => token !== undefined && /^[^=!,()<>]/.test(token);
  const word = (wanted: string): string => {
    const token = tokens[next];
    if (!isWord(token)) throw fail(wanted);
    next++;
    return token;
  };
  const key = (): string => {
    const found = word("identifier");
    if (!isLabelKey(found)) throw new SelectorError(`${JSON.stringify(found)} is not the key of a label`);
    return found;
  };
  const value = (): string => {
    const found = isWord(tokens[next]) ? word("value") : "";
    if (!isLabelValue(found)) throw new SelectorError(`${JSON.stringify(found)} is not the value of a label`);
    return found;
  };
  while (next < tokens.length) {
    if (tokens[next] === "!") {
      next++;
      requirements.push({ key: key(), operator: "absent", values: [] });
    } else {
      const name = key();
      const operator = tokens[next];
      if (operator === undefined || operator === ",") {
        requirements.push({ key: name, operator: "exists", values: [] });
      } else if (operator === "=" || operator === "==" || operator === "!=") {
        next++;
        requirements.push({ key: name, operator: operator === "!=" ? "notIn" : "in", values: [value()] });
      } else if (operator === ">" || operator === "<") {
        next++;
        const limit = word("a whole number");
        if (!/^-?\d+$/.test(limit)) throw new SelectorError(`${JSON.stringify(limit)} is not a whole number`);
        requirements.push({ key: name, operator: operator === ">" ? "gt" : "lt", values: [limit] });
      } else if (operator === "in" || operator === "notin") {
        next++;
        if (tokens[next] !== "(") throw fail("'('");
        next++;
        const values = [value()];
        while (tokens[next] === ",") {
          next++;
          values.push(value());
        }
        if (tokens[next] !== ")") throw fail("',' or ')'");
        next++;
        requirements.push({ key: name, operator: operator === "in" ? "in" : "notIn", values });
      } else {
        throw fail("in, notin, =, ==, !=, <, >");
      }
    }
    if (next < tokens.length) {
      if (tokens[next] !== ",") throw fail("',' or end of string");
      next++;
      if (next === tokens.length) throw fail("identifier after ','");
    }
  }
  return requirements;
}

const operators: Readonly<Record<string, Requirement["operator"]>> = {
  In: "in",
  NotIn: "notIn",
  Exists: "exists",
  DoesNotExist: "absent",
};

/** The conditions of a `LabelSelector` object; unknown operators select nothing. */
export function requirementsOf(selector: JsonObject): readonly Requirement[] {
  const equal = Object.entries(objectAt(selector, "matchLabels")).map(
    ([key, value]): Requirement => ({ key, operator: "in", values: [String(value)] }),
  );
  const expressions = listAt(selector, "matchExpressions").map((item): Requirement => {
    const expression = isObject(item) ? item : {};
    const values = listAt(expression, "values").map(String);
    return { key: textAt(expression, "key"), operator: operators[textAt(expression, "operator")] ?? "in", values };
  });
  return [...equal, ...expressions];
}

/** True if an object with these labels is selected. */
export function selects(requirements: readonly Requirement[], labels: JsonObject): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (operator === "absent") return value === undefined;
    if (operator === "notIn") return value === undefined || !values.includes(String(value));
    if (value === undefined) return false;
    if (operator === "exists") return true;
    if (operator === "in") return values.includes(String(value));
    if (!/^-?\d+$/.test(String(value))) return false;
    const difference = BigInt(String(value)) - BigInt(values[0] ?? "0");
    return operator === "gt" ? difference > 0n : difference < 0n;
  });
}

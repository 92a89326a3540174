/** The words of an iptables rule: reading them out of text, quoting them, and comparing rules by what they mean. */

/**
 * Splits a rule as `iptables-save` writes it and `iptables-restore` reads it into words. Double quotes keep blanks
 * together; inside them a backslash takes the next character as it is.
 *
 * @throws {SyntaxError} if a quote is not closed.
 */
export function splitRule(text: string): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === space || code === tab) {
      at++;
      continue;
    }
    if (code !== quote) {
      let end = at;
      while (end < text.length && text.charCodeAt(end) !== space && text.charCodeAt(end) !== tab) end++;
      words.push(text.slice(at, end));
      at = end;
      continue;
    }
    let word = "";
    for (at++; text.charCodeAt(at) !== quote; at++) {
      if (text.charCodeAt(at) === backslash) at++;
      if (at >= text.length) throw new SyntaxError(`a quote is not closed in rule ${text.slice(0, 200)}`);
      word += text[at];
    }
    words.push(word);
    at++;
  }
  return words;
}

const space = 32;
const tab = 9;
const quote = 34;
const backslash = 92;

/** A word as `iptables-restore` must see it: in double quotes if it holds blanks, quotes or nothing at all. */
export function quoteWord(word: string): string {
  return word !== "" && !/[\s"'\\]/.test(word) ? word : `"${word.replace(/["\\]/g, "\\$&")}"`;
}

/**
 * What a rule means, as text that is equal for two ways of writing the same rule: the order of options, masks that are
 * implied (`10.0.0.1` and `10.0.0.1/32`), default values and notations that `iptables-save` adds or changes. Covers
 * the options that Kubernetes rules use; other options are compared as written.
 *
 * @param text the rule without `-A` and chain.
 */
export function canonicalRule(text: string): string {
  const words = splitRule(text);
  const clauses: string[] = [];
  for (let i = 0; i < words.length; ) {
    let clause = "";
    if (words[i] === "!") {
      clause = "! ";
      i++;
    }
    const option = words[i++] ?? "";
    const values: string[] = [];
    while (i < words.length && words[i] !== "!" && !(words[i] ?? "").startsWith("-")) values.push(words[i++] ?? "");
    clause += canonicalClause(option, values);
    if (!implied.has(clause)) clauses.push(clause);
  }
  return clauses.sort().join(" ; ");
}

/** The kernel keeps a probability as so many parts of it (`xt_statistic`): decimals do not compare. */
const probabilityUnits = 2 ** 31;

const implied = new Set([
  "--reject-with icmp-port-unreachable",
  "--reject-with icmp6-port-unreachable",
  "--mask 255.255.255.255",
  "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  "--rsource",
]);

function canonicalClause(option: string, values: readonly string[]): string {
  const value = values.join(" ");
  switch (option) {
    case "-s":
    case "-d":
      return `${option} ${value.includes("/") ? value : `${value}/${value.includes(":") ? 128 : 32}`}`;
    case "--mark":
      return `${option} ${value.split("/").map(hexadecimal).join("/")}`;
    case "--xor-mark":
      return `--set-xmark ${hexadecimal(value)}/0x0`;
    case "--or-mark":
      return `--set-xmark ${hexadecimal(value)}/${hexadecimal(value)}`;
    case "--probability":
      return `${option} ${Math.round(Number(value) * probabilityUnits)}`;
    default:
      return value === "" ? option : `${option} ${value}`;
  }
}

function hexadecimal(number: string): string {
  return `0x${Number(number).toString(16)}`;
}
